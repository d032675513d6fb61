//! Who is calling. A handler that takes a [`Caller`] needs a login, one that takes an [`Administrator`] needs more.
//!
//! ```text
//! access token   refresh token       then
//! missing        –                   401 1004
//! not ours       –                   401 1003
//! valid          –                   served, if the session lives (else 401 1004)
//! expired        missing             401 1005
//! expired        not ours, or of     401 1003
//!                another session
//! expired        expired             401 1006
//! expired        valid               served, if the session lives; the new access token goes out with the answer
//! ```

pub(crate) mod passwords;
pub(crate) mod sessions;
pub(crate) mod tokens;

use crate::{
    commands,
    context::{Api, Shared},
    envelope::Failure,
};
use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    middleware::Next,
    response::Response,
};
use contracts::{ResultCode, UnixMs, UserId};
use sessions::{Role, Session};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};
use tokens::{TokenError, TokenKind};
use uuid::Uuid;

/// Carries the access token, both ways.
pub(crate) const ACCESS_TOKEN: HeaderName = HeaderName::from_static("access-token");
/// Carries the refresh token, both ways.
pub(crate) const REFRESH_TOKEN: HeaderName = HeaderName::from_static("refresh-token");
const BEARER: &str = "Bearer ";

/// A logged-in user.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: UserId,
    pub(crate) session: Uuid,
    /// When the access token ends, the renewed one where it was renewed.
    pub(crate) token_ends: UnixMs,
    role: Role,
}

/// Somebody who reads what anybody may read: known if a token of ours says so, and never refused. Good for nothing but
/// to choose where to read, since nobody asks whether the session lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader(Option<UserId>);

impl Reader {
    /// Who it is, where that is known.
    pub(crate) fn user(self) -> Option<UserId> {
        self.0
    }
}

impl FromRequestParts<Shared> for Reader {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Infallible> {
        Ok(Self(user_of(&parts.headers, api)))
    }
}

/// Whose access token it is, alive or not.
fn user_of(headers: &HeaderMap, api: &Api) -> Option<UserId> {
    let access = token(headers, &ACCESS_TOKEN).or_else(|| token(headers, &header::AUTHORIZATION))?;
    match api.tokens.read(access, TokenKind::Access, api.clock.now()) {
        Ok(claims) => Some(claims.user),
        Err(TokenError::Expired(claims)) => Some(claims.user),
        Err(TokenError::Invalid) => None,
    }
}

/// A logged-in administrator.
#[derive(Clone, Debug)]
pub(crate) struct Administrator(pub(crate) Caller);

/// A renewed access token on its way from the extractor to the answer's headers.
#[derive(Clone, Default)]
struct Renewed(Arc<Mutex<Option<String>>>);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Failure> {
        let found = authenticate(api, &parts.headers).await;
        let Authenticated { session, token_ends, renewed } =
            found.map_err(|failure| match user_of(&parts.headers, api) {
                // Nobody could be asked whether the session is alive: still the client is told which command it would be.
                Some(user) => commands::wanted(parts, user, api.clock.now()).into_iter().fold(failure, Failure::of),
                None => failure,
            })?;
        if let (Some(token), Some(slot)) = (renewed, parts.extensions.get::<Renewed>()) {
            *slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        }
        // For what is read after the caller is known: a body that is bounded by user.
        parts.extensions.insert(session.user);
        Ok(Caller { user: session.user, session: session.id, token_ends, role: session.role })
    }
}

impl FromRequestParts<Shared> for Administrator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, api).await?;
        if caller.role == Role::Administrator { Ok(Self(caller)) } else { Err(ResultCode::Forbidden.into()) }
    }
}

/// What the request's tokens say.
struct Authenticated {
    session: Session,
    token_ends: UnixMs,
    /// A new access token, where the old one had expired.
    renewed: Option<String>,
}

async fn authenticate(api: &Api, headers: &HeaderMap) -> Result<Authenticated, Failure> {
    let now = api.clock.now();
    let access = token(headers, &ACCESS_TOKEN).or_else(|| token(headers, &header::AUTHORIZATION));
    let access = access.ok_or(ResultCode::LoginRequired)?;
    let expired = match api.tokens.read(access, TokenKind::Access, now) {
        Ok(claims) => {
            let session = api.session(claims.session).await?;
            return Ok(Authenticated { session, token_ends: claims.ends(), renewed: None });
        }
        Err(TokenError::Invalid) => return Err(ResultCode::InvalidToken.into()),
        Err(TokenError::Expired(claims)) => claims,
    };
    let refresh = token(headers, &REFRESH_TOKEN).ok_or(ResultCode::AccessTokenExpired)?;
    let refresh = api.tokens.read(refresh, TokenKind::Refresh, now).map_err(|error| match error {
        TokenError::Expired(_) => ResultCode::RefreshTokenExpired,
        TokenError::Invalid => ResultCode::InvalidToken,
    })?;
    if refresh.session != expired.session {
        return Err(ResultCode::InvalidToken.into());
    }
    let session = api.session(refresh.session).await?;
    let pair = api.tokens.pair(session.user, &session.login_id, session.id, now, session.ends);
    let pair = pair.map_err(|_| ResultCode::Unexpected)?;
    let token_ends = now.plus_ms(api.tokens.access_ms()).min(session.ends);
    Ok(Authenticated { session, token_ends, renewed: Some(pair.access) })
}

/// The token of a header, with or without `Bearer`; `None` when there is nothing in it.
fn token<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?;
    // What is no text is no token either, but it was sent: it is refused as one.
    let text = value.to_str().unwrap_or("?").trim();
    let text = match text.get(..BEARER.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(BEARER) => text[BEARER.len()..].trim(),
        _ => text,
    };
    (!text.is_empty()).then_some(text)
}

/// `Bearer …`, as a response header.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(&format!("{BEARER}{token}")).map_err(|_| ResultCode::Unexpected.into())
}

/// Adds a renewed access token to the answer.
pub(crate) async fn renew(mut request: Request, next: Next) -> Response {
    let renewed = Renewed::default();
    request.extensions_mut().insert(renewed.clone());
    let mut response = next.run(request).await;
    let token = renewed.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Ok(value)) = token.map(|token| bearer(&token)) {
        response.headers_mut().insert(ACCESS_TOKEN, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_with_or_without_its_prefix() {
        let mut headers = HeaderMap::new();
        for (value, expected) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bearer  a.b.c ", Some("a.b.c")),
            ("a.b.c", Some("a.b.c")),
            ("Bearer ", Some("Bearer")),
            ("", None),
        ] {
            headers.insert(ACCESS_TOKEN, HeaderValue::from_static(value));
            assert_eq!(token(&headers, &ACCESS_TOKEN), expected, "{value:?}");
        }
        assert_eq!(token(&headers, &REFRESH_TOKEN), None);
        headers.insert(ACCESS_TOKEN, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert_eq!(token(&headers, &ACCESS_TOKEN), Some("?"));
    }
}
