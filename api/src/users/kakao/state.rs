//! `state`: that a login which comes back from Kakao was begun here, lately, by the same browser.
//!
//! The browser keeps a random number in a cookie that scripts cannot read; the state is its signature, with an end. So a
//! state is of no use in another browser (nobody can be made to log in as somebody else), and none can be made up.

use crate::signature::Signer;
use axum::http::{HeaderMap, HeaderValue, header};
use contracts::UnixMs;

const PURPOSE: &str = "gream kakao state v1";
/// The cookie's name.
const COOKIE: &str = "gream_kakao";
/// Where browsers send it back to.
const COOKIE_PATH: &str = "/api/users/oauth/kakao";
/// How long a person may take at Kakao.
const VALID_MS: i64 = 600_000;

/// A login that was begun.
pub(super) struct Begun {
    pub(super) state: String,
    pub(super) cookie: HeaderValue,
}

/// Begins a login with a fresh random number. `secure`: browsers reach us by https, perhaps from another site.
pub(super) fn begin(signer: &Signer, random: u128, now: UnixMs, secure: bool) -> Option<Begun> {
    let (number, ends) = (format!("{random:032x}"), now.plus_ms(VALID_MS).0.to_string());
    let state = format!("{ends}.{}", signer.sign(PURPOSE, &[&number, &ends]));
    Some(Begun { state, cookie: cookie(&number, VALID_MS / 1000, secure)? })
}

/// The cookie that makes the browser forget the number: a state is good for one login.
pub(super) fn forget(secure: bool) -> Option<HeaderValue> {
    cookie("", 0, secure)
}

/// Whether `state` is one of ours, of this browser, in time.
pub(super) fn is_genuine(signer: &Signer, state: &str, headers: &HeaderMap, now: UnixMs) -> bool {
    let Some((ends, signature)) = state.split_once('.') else { return false };
    let in_time = ends.parse().is_ok_and(|ends| now.0 < ends);
    in_time && number(headers).is_some_and(|number| signer.verify(PURPOSE, &[number, ends], signature))
}

/// Whether this browser began a login here that has not come back.
pub(super) fn has_begun(headers: &HeaderMap) -> bool {
    number(headers).is_some()
}

fn cookie(number: &str, max_age_s: i64, secure: bool) -> Option<HeaderValue> {
    // Without https a browser takes no cookie from another site, so there it need not be sent to one.
    let site = if secure { "SameSite=None; Secure" } else { "SameSite=Lax" };
    let text = format!("{COOKIE}={number}; Path={COOKIE_PATH}; Max-Age={max_age_s}; HttpOnly; {site}");
    HeaderValue::from_str(&text).ok()
}

/// The number of the browser's cookie.
fn number(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, number)| *name == COOKIE && !number.is_empty()).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::Secret;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn sent_back(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("theme=dark; {pair}; x=y=z").parse().unwrap());
        headers
    }

    #[test]
    fn a_state_is_believed_in_the_browser_that_began_and_in_time() {
        let signer = Signer::new(&Secret::new("fedcba9876543210fedcba9876543210")).unwrap();
        let other = Signer::new(&Secret::new("0123456789abcdef0123456789abcdef")).unwrap();
        let begun = begin(&signer, 7, NOW, false).unwrap();
        let browser = sent_back(&begun.cookie);
        assert!(is_genuine(&signer, &begun.state, &browser, NOW.plus_ms(VALID_MS - 1)));
        assert!(!is_genuine(&signer, &begun.state, &browser, NOW.plus_ms(VALID_MS)));
        assert!(!is_genuine(&signer, &begun.state, &HeaderMap::new(), NOW));
        assert!(!is_genuine(&signer, &begun.state, &sent_back(&begin(&signer, 8, NOW, false).unwrap().cookie), NOW));
        assert!(!is_genuine(&signer, &begun.state, &sent_back(&forget(false).unwrap()), NOW));
        assert!(!is_genuine(&other, &begun.state, &browser, NOW));
        let later = begun.state.replacen("17", "18", 1);
        for made_up in ["", ".", "9999999999999.", "abc", later.as_str()] {
            assert!(!is_genuine(&signer, made_up, &browser, NOW), "{made_up}");
        }
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_paths() {
        let signer = Signer::new(&Secret::new("fedcba9876543210fedcba9876543210")).unwrap();
        let cookie = begin(&signer, 7, NOW, true).unwrap().cookie;
        let cookie = cookie.to_str().unwrap();
        for part in ["HttpOnly", "Secure", "SameSite=None", "Max-Age=600", "Path=/api/users/oauth/kakao"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(forget(false).unwrap().to_str().unwrap().contains("Max-Age=0"));
    }
}
