//! The page's own files, compiled in: it works offline, and is always this build's.

use super::Refusal;
use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// The page's own parts and calls; nothing inline, nothing from anywhere else.
const OWN_PARTS_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("../../operator-page/index.html");
/// Name, type and content.
const ASSETS: [(&str, &str, &str); 9] = [
    ("page.css", CSS, include_str!("../../operator-page/page.css")),
    ("main.js", JAVASCRIPT, include_str!("../../operator-page/main.js")),
    ("call.js", JAVASCRIPT, include_str!("../../operator-page/call.js")),
    ("dom.js", JAVASCRIPT, include_str!("../../operator-page/dom.js")),
    ("pipeline.js", JAVASCRIPT, include_str!("../../operator-page/pipeline.js")),
    ("letters.js", JAVASCRIPT, include_str!("../../operator-page/letters.js")),
    ("acts.js", JAVASCRIPT, include_str!("../../operator-page/acts.js")),
    ("trace.js", JAVASCRIPT, include_str!("../../operator-page/trace.js")),
    ("market.js", JAVASCRIPT, include_str!("../../operator-page/market.js")),
];

pub(super) async fn page() -> Response {
    file(HTML, PAGE)
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let found = ASSETS.iter().find(|(known, ..)| *known == name);
    found.map_or_else(|| Refusal::unknown().into_response(), |(_, kind, content)| file(kind, content))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, OWN_PARTS_ONLY)], content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_asked_for_is_there_and_none_is_from_elsewhere() {
        for (name, _, content) in ASSETS.iter().chain([&("index.html", HTML, PAGE)]) {
            for outside in ["https://", "//cdn", "eval(", "innerHTML", "style=", "onclick="] {
                assert!(!content.contains(outside), "{name} has {outside}");
            }
            let imported = content.split("from './").skip(1).filter_map(|rest| rest.split('\'').next());
            for module in imported {
                assert!(ASSETS.iter().any(|(known, ..)| *known == module), "{name} wants {module}");
            }
        }
        for part in ["assets/main.js", "assets/page.css"] {
            assert!(PAGE.contains(part), "{part}");
        }
    }
}
