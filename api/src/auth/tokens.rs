//! Access and refresh tokens: JWT, HS256, with time told by the injected clock.
//!
//! Doesn't: know whether the session was ended. That is in `sessions`.

use contracts::{UnixMs, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use platform::{Secret, config::AuthConfig};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_DAY: i64 = 24 * 60 * MS_PER_MINUTE;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenKind {
    /// Shown with every request.
    Access,
    /// Shown only to get a new access token.
    Refresh,
    /// Of the operators' page, and good for nothing else.
    Operator,
}

/// What a token says. What the user may do is not in it: that is read with the session, so that a lost role is lost
/// within seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The login id: browsers show it.
    pub(crate) sub: String,
    #[serde(rename = "uid")]
    pub(crate) user: UserId,
    #[serde(rename = "sid")]
    pub(crate) session: Uuid,
    pub(crate) kind: TokenKind,
    /// Unix seconds.
    pub(crate) iat: i64,
    /// Unix seconds; exclusive.
    pub(crate) exp: i64,
}

impl Claims {
    /// The first instant at which it is no longer accepted.
    pub(crate) fn ends(&self) -> UnixMs {
        UnixMs(self.exp.saturating_mul(1_000))
    }
}

/// Why a token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// Ours, but its time is over.
    Expired(Box<Claims>),
    /// Not ours, changed, or of the other kind.
    Invalid,
}

/// Makes and reads tokens.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    access_ms: i64,
    refresh_ms: i64,
}

/// Both tokens of a session.
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn new(config: &AuthConfig) -> Self {
        let secret: &Secret = &config.jwt_secret;
        let mut validation = Validation::new(Algorithm::HS256);
        // The crate would ask the system for the time; ours comes from the injected clock.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self {
            encoding: EncodingKey::from_secret(secret.expose().as_bytes()),
            decoding: DecodingKey::from_secret(secret.expose().as_bytes()),
            validation,
            access_ms: i64::from(config.access_token_minutes) * MS_PER_MINUTE,
            refresh_ms: i64::from(config.refresh_token_days) * MS_PER_DAY,
        }
    }

    /// How long an access token is good for.
    pub(crate) fn access_ms(&self) -> i64 {
        self.access_ms
    }

    /// When a session that begins `now` ends.
    pub(crate) fn session_end(&self, now: UnixMs) -> UnixMs {
        now.plus_ms(self.refresh_ms)
    }

    /// Both tokens of a session that ends at `session_end`.
    pub(crate) fn pair(
        &self,
        user: UserId,
        login_id: &str,
        session: Uuid,
        now: UnixMs,
        session_end: UnixMs,
    ) -> Result<Pair, jsonwebtoken::errors::Error> {
        let access = Claims {
            sub: login_id.to_owned(),
            user,
            session,
            kind: TokenKind::Access,
            iat: seconds(now),
            exp: seconds(now.plus_ms(self.access_ms).min(session_end)),
        };
        let refresh = Claims { kind: TokenKind::Refresh, exp: seconds(session_end), ..access.clone() };
        Ok(Pair { access: self.encode(&access)?, refresh: self.encode(&refresh)? })
    }

    /// The operators' page's token of a session that ends at `session_end`.
    pub(crate) fn of_operator(
        &self,
        user: UserId,
        login_id: &str,
        session: Uuid,
        now: UnixMs,
        session_end: UnixMs,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let (sub, kind) = (login_id.to_owned(), TokenKind::Operator);
        self.encode(&Claims { sub, user, session, kind, iat: seconds(now), exp: seconds(session_end) })
    }

    fn encode(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
    }

    /// Reads a token that should be of `kind`.
    pub(crate) fn read(&self, token: &str, kind: TokenKind, now: UnixMs) -> Result<Claims, TokenError> {
        let claims = decode::<Claims>(token, &self.decoding, &self.validation).map_err(|_| TokenError::Invalid)?.claims;
        if claims.kind != kind {
            return Err(TokenError::Invalid);
        }
        if seconds(now) >= claims.exp { Err(TokenError::Expired(Box::new(claims))) } else { Ok(claims) }
    }
}

fn seconds(at: UnixMs) -> i64 {
    at.0.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn tokens(secret: &str) -> Tokens {
        Tokens::new(&AuthConfig {
            jwt_secret: Secret::new(secret),
            address_secret: Secret::new("x"),
            access_token_minutes: 60,
            refresh_token_days: 14,
            max_password_hashes: 1,
        })
    }

    fn pair(tokens: &Tokens, session_end: UnixMs) -> Pair {
        tokens.pair(UserId(7), "alice", Uuid::from_u128(9), NOW, session_end).unwrap()
    }

    #[test]
    fn a_token_says_who_and_only_of_its_own_kind() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let pair = pair(&tokens, tokens.session_end(NOW));
        let claims = tokens.read(&pair.access, TokenKind::Access, NOW).unwrap();
        assert_eq!((claims.user, claims.sub.as_str(), claims.session), (UserId(7), "alice", Uuid::from_u128(9)));
        assert_eq!(tokens.read(&pair.refresh, TokenKind::Access, NOW), Err(TokenError::Invalid));
        assert_eq!(tokens.read(&pair.access, TokenKind::Refresh, NOW), Err(TokenError::Invalid));
        assert!(tokens.read(&pair.refresh, TokenKind::Refresh, NOW).is_ok());
        let page = tokens.of_operator(UserId(7), "alice", Uuid::from_u128(9), NOW, tokens.session_end(NOW)).unwrap();
        assert!(tokens.read(&page, TokenKind::Operator, NOW).is_ok());
        assert_eq!(tokens.read(&page, TokenKind::Access, NOW), Err(TokenError::Invalid));
        assert_eq!(tokens.read(&pair.access, TokenKind::Operator, NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn the_injected_clock_ends_it_and_the_session_ends_it_sooner() {
        let tokens = tokens("0123456789abcdef0123456789abcdef");
        let long = pair(&tokens, tokens.session_end(NOW)).access;
        let hour = NOW.plus_ms(60 * MS_PER_MINUTE);
        assert!(tokens.read(&long, TokenKind::Access, hour.plus_ms(-1)).is_ok());
        assert!(matches!(tokens.read(&long, TokenKind::Access, hour), Err(TokenError::Expired(_))));
        let short = pair(&tokens, NOW.plus_ms(5_000)).access;
        assert!(matches!(tokens.read(&short, TokenKind::Access, NOW.plus_ms(5_000)), Err(TokenError::Expired(_))));
    }

    #[test]
    fn what_is_not_ours_is_invalid() {
        let ours = tokens("0123456789abcdef0123456789abcdef");
        let theirs = tokens("fedcba9876543210fedcba9876543210");
        let token = pair(&theirs, theirs.session_end(NOW)).access;
        let mut changed = pair(&ours, ours.session_end(NOW)).access;
        changed.replace_range(40..41, if &changed[40..41] == "A" { "B" } else { "A" });
        // {"alg":"none","typ":"JWT"}
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", token.split('.').nth(1).unwrap());
        for wrong in [token.as_str(), changed.as_str(), unsigned.as_str(), "", "a.b.c", "한글"] {
            assert_eq!(ours.read(wrong, TokenKind::Access, NOW), Err(TokenError::Invalid), "{wrong}");
        }
    }
}
