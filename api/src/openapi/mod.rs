//! The OpenAPI document: made from the handlers, served at `/api/openapi.json`, with a page to try it at `/api/docs`.
//!
//! ```text
//! #[utoipa::path] on the handlers ─► paths, parameters, bodies, answers of 200 ─┐
//! operations.rs: who may call, refused with which codes ────────────────────────┴─► document() ─► document, page
//! ```
//! Promises: a route that is not described fails a test, as does an operation that does not say how it is refused; the
//! texts of refusals are those of [`contracts::ResultCode`]. Doesn't: check requests. The handlers do.

pub(crate) mod answers;
pub(crate) mod bodies;
mod operations;
mod page;
mod refusals;

pub(crate) use page::routes;

use operations::{Access, Operation};
use serde_json::{Value, json};
use utoipa::OpenApi;

const DESCRIPTION: &str = "\
**Trying calls here.** Run `sign_up`, then `log_in`. Its answer carries two headers, `Access-Token` and `Refresh-Token`. \
Open *Authorize* and paste each of them, with its `Bearer `, into the field of the same name. From then on each call \
here sends both. An expired access token beside a valid refresh token is renewed in place: the new one comes back in \
the answer's header `Access-Token`. After `log_out` neither is accepted.

**Every answer** is an envelope: `{\"status\", \"code\", \"message\", \"data\"}`. `code` is 0 when all went well.

**Commands** (whatever answers 202 too) take `Idempotency-Key`, which makes a retry the same command, and `Prefer: \
respond-async` or `Prefer: wait=N`, which choose how long to wait. Their answers name the command in \
`Gream-Command-Id`.

**Any request** may be named by `X-Request-Id`; its answer repeats the name, or gives one.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Gream", description = DESCRIPTION, license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    servers((url = "/")),
    tags(
        (name = "users", description = "Accounts, sessions, points"),
        (name = "products", description = "The catalogue and its markets; no login needed"),
        (name = "buying", description = "Buy bids, purchases, their histories"),
        (name = "selling", description = "Sell bids, sales, their histories"),
        (name = "coupons", description = "Discounts"),
        (name = "payments", description = "Charges by Toss Payments"),
        (name = "administrators", description = "Only for administrators"),
        (name = "commands", description = "Where a command stands"),
        (name = "pictures", description = "Pictures by their addresses"),
    ),
)]
struct Frame;

/// What the routes' descriptions are added to.
pub(crate) fn frame() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}

/// The whole document: the routes' descriptions, completed by who may call and how each call is refused.
pub(crate) fn document(described: &utoipa::openapi::OpenApi) -> Value {
    // Plain data with string keys: serialising it has no way to fail.
    let mut document = serde_json::to_value(described).unwrap_or_default();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let calls = paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten());
    for (_, call) in calls {
        if let Some(operation) = Operation::named(call["operationId"].as_str().unwrap_or_default()) {
            complete(call, operation);
        }
    }
    document["components"]["securitySchemes"] = security_schemes();
    document
}

fn complete(call: &mut Value, operation: &Operation) {
    call["security"] = match operation.access {
        Access::Anybody => json!([]),
        Access::User | Access::Administrator => json!([
            {"accessToken": [], "refreshToken": []},
            {"accessToken": []},
            {"bearer": []},
        ]),
        Access::Holder => json!([{}, {"accessToken": []}]),
    };
    if operation.is_command {
        call["responses"]["202"] = refusals::accepted();
        if !call["parameters"].is_array() {
            call["parameters"] = json!([]);
        }
        call["parameters"].as_array_mut().into_iter().for_each(|parameters| parameters.extend(wishes()));
    }
    for (status, response) in refusals::responses(&operation.codes()) {
        call["responses"][status] = response;
    }
}

/// The headers that every command's request may have.
fn wishes() -> [Value; 2] {
    [
        json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Makes a retry the same command, for 24 hours at least. With another body it is refused.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
        }),
        json!({
            "name": "Prefer", "in": "header", "required": false,
            "description": "`respond-async`: 202 at once. `wait=N`: wait up to N seconds for the outcome.",
            "schema": {"type": "string"}, "examples": {"asynchronous": {"value": "respond-async"}, "patient": {"value": "wait=3"}},
        }),
    ]
}

fn security_schemes() -> Value {
    let header = |name: &str, description: &str| json!({"type": "apiKey", "in": "header", "name": name, "description": description});
    json!({
        "accessToken": header("Access-Token", "`Bearer …`, as `log_in` answers it in the header of this name."),
        "refreshToken": header("Refresh-Token", "Likewise. With it an expired access token is renewed in place."),
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access token alone."},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;
    use std::collections::BTreeSet;

    /// Of the router itself: axum lists its paths only for debugging.
    fn paths_of(router: &str) -> BTreeSet<String> {
        let quoted = router.split('"').skip(1).step_by(2);
        quoted.filter(|text| text.starts_with("/api/")).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn every_route_is_in_the_document_and_says_how_it_is_refused() {
        let (router, described) = routes::described(1, 1).split_for_parts();
        let document = document(&described);
        let paths = document["paths"].as_object().unwrap();
        let served = paths_of(&format!("{router:?}"));
        assert!(served.len() > 20, "axum no longer lists its paths so: {served:?}");
        for path in &served {
            assert!(paths.contains_key(path), "{path} is not described: give its handler #[utoipa::path]");
        }
        assert_eq!(served.len(), paths.len());
        let mut named = BTreeSet::new();
        for (path, method, call) in
            paths.iter().flat_map(|(path, calls)| calls.as_object().unwrap().iter().map(move |(m, c)| (path, m, c)))
        {
            let id = call["operationId"].as_str().unwrap();
            assert!(Operation::named(id).is_some(), "{method} {path}: add {id} to openapi/operations.rs");
            assert!(named.insert(id), "two operations are called {id}");
            assert!(!call["summary"].as_str().unwrap_or_default().is_empty(), "{id} has no words");
            assert!(call["responses"]["default"].is_null(), "{id}");
        }
        assert_eq!(named, operations::ALL.iter().map(|operation| operation.id).collect(), "none is left over");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&routes::described(1, 1).split_for_parts().1);
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
        assert_eq!(document["openapi"].as_str().unwrap().split('.').take(2).collect::<Vec<_>>(), ["3", "1"]);
    }
}
