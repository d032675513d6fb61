//! Who may use the page: an administrator who signed in here, by a cookie that no script reads and no other site sends.
//!
//! Promises: signing in is counted and limited as any login; a session ends with a logout, a lost role or after
//! [`SESSION_MS`]; its token is no good for the public API, nor that API's tokens here. Doesn't: encrypt; the operators' port
//! is reached over a private network, or by a proxy or tunnel that does.

use super::{
    answer::{Asked, Refusal},
    desk::Desk,
};
use crate::{
    auth::{
        sessions::{Role, Session},
        tokens::TokenKind,
    },
    client_address::ClientAddress,
    envelope::Failure,
    users::login,
};
use axum::{
    Extension, Json,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use contracts::{ResultCode, UnixMs};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whatever the page calls has this header, which no form and no link can send, and no script of another origin may.
pub(super) const CALLED_BY_PAGE: HeaderName = HeaderName::from_static("gream-operator");
/// What browsers say about who made a call.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const COOKIE: &str = "gream_operator";
/// A working day.
const SESSION_MS: i64 = 12 * 3_600_000;

/// An administrator who signed in.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) login_id: String,
    session: uuid::Uuid,
    ends: UnixMs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    login_id: String,
    password: String,
}

/// Who is signed in.
#[derive(Serialize)]
pub(super) struct SignedIn {
    login_id: String,
    ends_at: UnixMs,
    /// production, demo or test.
    mode: &'static str,
}

/// Refuses what the page did not call.
pub(super) async fn insist_on_header(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_elsewhere = headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none");
    if !headers.contains_key(CALLED_BY_PAGE) || is_elsewhere || !is_own_origin(&request) {
        let says = "calls come from the page itself, with the header Gream-Operator";
        return Refusal::new(StatusCode::FORBIDDEN, says).into_response();
    }
    next.run(request).await
}

/// Whether a call that names its origin comes from where it goes to. Schemes may differ: TLS may end before us.
fn is_own_origin(request: &Request) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return true };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| host == Some(origin))
}

/// Lets administrators in, and nobody else.
pub(super) async fn guard(State(desk): State<Arc<Desk>>, mut request: Request, next: Next) -> Response {
    match admit(&desk, request.headers()).await {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn admit(desk: &Desk, headers: &HeaderMap) -> Result<Operator, Refusal> {
    let token = cookie(headers).ok_or_else(Refusal::signed_out)?;
    let claims = desk.api.tokens.read(token, TokenKind::Operator, desk.api.clock.now());
    let claims = claims.map_err(|_| Refusal::signed_out())?;
    let Session { id, login_id, role, ends, .. } = desk.api.session(claims.session).await?;
    // The role is what it is now, not what it was at the sign-in.
    if role != Role::Administrator {
        return Err(Failure::from(ResultCode::Forbidden).into());
    }
    Ok(Operator { login_id, session: id, ends })
}

/// The token in the request's cookies.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Begins a session of an administrator.
pub(super) async fn sign_in(State(desk): State<Arc<Desk>>, request: Request) -> Result<Response, Refusal> {
    let api = &desk.api;
    let (mut parts, body) = request.into_parts();
    let client = ClientAddress::from_request_parts(&mut parts, api).await?;
    let Asked(SignIn { login_id, password }) = Asked::from_request(Request::from_parts(parts, body), &()).await?;
    let found = login::check(api, client, &login_id, password).await?;
    if found.role != Role::Administrator {
        return Err(Failure::from(ResultCode::Forbidden).into());
    }
    let now = api.clock.now();
    let ends = now.plus_ms(SESSION_MS);
    let session = api.begin_session(found.user, ends).await?;
    let token = api.tokens.of_operator(found.user, &found.login_id, session, now, ends);
    let token = token.map_err(|_| Failure::from(ResultCode::Unexpected))?;
    tracing::info!(login_id = found.login_id, "an operator signed in");
    let told = SignedIn { login_id: found.login_id, ends_at: ends, mode: mode(&desk) };
    Ok(with_cookie(Json(told).into_response(), &token, SESSION_MS / 1_000))
}

/// Who is signed in.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Extension(operator): Extension<Operator>) -> Json<SignedIn> {
    Json(SignedIn { login_id: operator.login_id, ends_at: operator.ends, mode: mode(&desk) })
}

/// Ends the session.
pub(super) async fn sign_out(
    State(desk): State<Arc<Desk>>,
    Extension(operator): Extension<Operator>,
) -> Result<Response, Refusal> {
    desk.api.end_session(operator.session).await?;
    Ok(with_cookie(Json(serde_json::json!({})).into_response(), "", 0))
}

fn with_cookie(mut response: Response, token: &str, max_age_s: i64) -> Response {
    let cookie = format!("{COOKIE}={token}; Path=/operator; HttpOnly; SameSite=Strict; Max-Age={max_age_s}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn mode(desk: &Desk) -> &'static str {
    match desk.api.config.mode {
        platform::config::Mode::Production => "production",
        platform::config::Mode::Demo => "demo",
        platform::config::Mode::Test => "test",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; gream_operators=x"));
        assert_eq!(cookie(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("c=d;gream_operator=t.o.k; e=f"));
        assert_eq!(cookie(&headers), Some("t.o.k"));
    }

    #[test]
    fn a_call_of_another_origin_is_none_of_the_page() {
        let asked = |origin: Option<&str>| {
            let mut request = Request::builder().header("host", "ops:9090");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            is_own_origin(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert!(asked(None) && asked(Some("http://ops:9090")) && asked(Some("https://ops:9090")));
        for other in ["null", "http://ops", "http://ops:9091", "http://evil.test", "http://evil.test/ops:9090", ""] {
            assert!(!asked(Some(other)), "{other}");
        }
    }

    #[test]
    fn no_script_reads_the_cookie_and_no_other_site_sends_it() {
        let response = with_cookie(().into_response(), "t", 5);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie, "gream_operator=t; Path=/operator; HttpOnly; SameSite=Strict; Max-Age=5");
    }
}
