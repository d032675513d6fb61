//! Where the document and its page are served. The page is Swagger UI, compiled in: it works offline.

use super::document;
use crate::context::Shared;
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use utoipa_swagger_ui::{Config, SwaggerUi};

const DOCUMENT: &str = "/api/openapi.json";
const PAGE: &str = "/api/docs";
/// The page's own scripts and styles, and calls to this API; nothing from anywhere else. Swagger UI sets styles inline.
const OWN_PARTS_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The document that describes `described`, and the page.
pub(crate) fn routes(described: &utoipa::openapi::OpenApi) -> Router<Shared> {
    let text = Bytes::from(document(described).to_string());
    let document = get(async move || ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response());
    let config = Config::from(DOCUMENT).display_operation_id(true).try_it_out_enabled(true);
    let page: Router<Shared> = SwaggerUi::new(PAGE).config(config).into();
    page.layer(from_fn(allow_own_parts)).route(DOCUMENT, document)
}

async fn allow_own_parts(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, OWN_PARTS_ONLY);
    response
}
