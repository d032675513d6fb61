//! What the headers of a command's request wish for: a key, a wait.

use crate::envelope::Failure;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};
use std::time::Duration;

/// Makes a client's retry the same command.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const PREFER: &str = "prefer";
/// Says which wish for a wait was followed.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const MAX_KEY_CHARS: usize = 200;

/// The wishes of one request. None of them is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) idempotency_key: Option<String>,
    /// How long to wait for the outcome; zero: not at all.
    pub(crate) wait: Option<Duration>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wishes {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Self::read(&parts.headers)
    }
}

impl Wishes {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let idempotency_key = match headers.get(IDEMPOTENCY_KEY) {
            None => None,
            Some(value) => Some(key(value.as_bytes()).ok_or_else(|| {
                Failure::invalid(
                    "Idempotency-Key",
                    format!("보이는 ASCII 문자 1자 이상 {MAX_KEY_CHARS}자 이하여야 합니다."),
                )
            })?),
        };
        let prefer = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        Ok(Self { idempotency_key, wait: preferred_wait(prefer) })
    }
}

impl Wishes {
    /// The same answer, saying which wait was granted where one was wished for (RFC 7240). What the wish changes, no
    /// cache may give to somebody who did not wish it.
    pub(super) fn applied(&self, granted: Duration, mut answer: Response) -> Response {
        let headers = answer.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static(PREFER));
        let text = match self.wait {
            None => return answer,
            Some(_) if granted.is_zero() => "respond-async".to_owned(),
            Some(_) => format!("wait={}", granted.as_secs()),
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(PREFERENCE_APPLIED, value);
        }
        answer
    }
}

fn key(bytes: &[u8]) -> Option<String> {
    let fits = (1..=MAX_KEY_CHARS).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if fits { String::from_utf8(bytes.to_vec()).ok() } else { None }
}

/// RFC 7240. What cannot be understood is ignored, as preferences are; `wait` outdoes `respond-async`.
fn preferred_wait<'a>(values: impl Iterator<Item = &'a str>) -> Option<Duration> {
    let mut wait = None;
    let mut respond_async = false;
    for preference in values.flat_map(|value| value.split(',')) {
        let preference = preference.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if preference == "respond-async" {
            respond_async = true;
        } else if let Some((name, seconds)) = preference.split_once('=')
            && name.trim() == "wait"
        {
            wait = wait.or(seconds.trim().trim_matches('"').parse().ok().map(Duration::from_secs));
        }
    }
    wait.or(respond_async.then_some(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Wishes, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        Wishes::read(&headers)
    }

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        assert_eq!(read(&[]).unwrap(), Wishes::default());
        let longest = "k".repeat(200);
        assert_eq!(read(&[("idempotency-key", &longest)]).unwrap().idempotency_key, Some(longest.clone()));
        for wrong in ["", "a b", "열쇠", &format!("{longest}k")] {
            assert!(read(&[("idempotency-key", wrong)]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_preferred_wait_is_taken_and_nonsense_ignored() {
        let wait = |value: &str| read(&[("prefer", value)]).unwrap().wait.map(|wait| wait.as_secs());
        assert_eq!(wait("wait=3"), Some(3));
        assert_eq!(wait("respond-async"), Some(0));
        assert_eq!(wait("Respond-Async, WAIT = \"7\"; x=y"), Some(7));
        assert_eq!(wait("wait=999999"), Some(999_999), "clamped where it is used");
        for nonsense in ["wait=-1", "wait=1.5", "wait=", "return=minimal", "wait=99999999999999999999"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
        assert_eq!(read(&[("prefer", "return=minimal"), ("prefer", "wait=2")]).unwrap().wait.unwrap().as_secs(), 2);
    }
}
