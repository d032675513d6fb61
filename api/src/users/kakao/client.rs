//! The two calls to Kakao: a code becomes a token, the token a profile.
//!
//! Promises: bounded waiting, bounded answers, and no code, token or secret in an error or a log.
//! Doesn't: try again. A code is good for one use; the person begins anew.

use platform::{Secret, config::KakaoConfig};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

/// An answer larger than this is read no further.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Connections kept open while nobody uses them.
const MAX_IDLE_CONNECTIONS: usize = 8;

/// Login by Kakao is configured with what cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKakaoOptions {
    /// No http address.
    #[error("kakao.{key} {address:?} is not an http or https address; set it as in the default configuration")]
    Address {
        /// Which key.
        key: &'static str,
        /// What it is set to.
        address: String,
    },
    /// The HTTP library refused.
    #[error("the HTTP client for Kakao could not be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(super) enum KakaoError {
    /// Kakao says no: the code is used up, forged or another application's.
    #[error("Kakao refused with {status}, error {error:?}")]
    Refused { status: StatusCode, error: String },
    /// No answer that can be understood; nothing is wrong with the code.
    #[error("no usable answer of Kakao's: {0}")]
    NoAnswer(String),
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// Kakao's number of the person.
    pub(super) id: i64,
    /// As the person wrote it, if we may know it.
    pub(super) nickname: Option<String>,
}

/// Speaks to Kakao.
pub(super) struct Client {
    http: reqwest::Client,
    token_url: Url,
    profile_url: Url,
    application: String,
    secret: Secret,
    redirect_uri: String,
}

impl Client {
    /// Makes a client. The process must have installed its rustls provider before.
    pub(super) fn new(config: &KakaoConfig) -> Result<Self, InvalidKakaoOptions> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .timeout(Duration::from_millis(config.read_timeout_ms))
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self {
            http,
            token_url: http_url("token_url", &config.token_url)?,
            profile_url: http_url("profile_url", &config.profile_url)?,
            application: config.client_id.clone(),
            secret: config.client_secret.clone(),
            redirect_uri: config.redirect_uri.clone(),
        })
    }

    /// Whose code this is.
    pub(super) async fn profile(&self, code: &str) -> Result<Profile, KakaoError> {
        let token: Token = ask(self.http.post(self.token_url.clone()).form(&self.token_form(code))).await?;
        let answer: ProfileAnswer =
            ask(self.http.get(self.profile_url.clone()).bearer_auth(token.access_token.expose())).await?;
        if answer.id <= 0 {
            return Err(KakaoError::NoAnswer("the profile's id is no positive number".to_owned()));
        }
        Ok(Profile { id: answer.id, nickname: answer.nickname() })
    }

    fn token_form<'a>(&'a self, code: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &self.application),
            ("redirect_uri", &self.redirect_uri),
            ("code", code),
        ];
        if !self.secret.expose().is_empty() {
            form.push(("client_secret", self.secret.expose()));
        }
        form
    }
}

pub(super) fn http_url(key: &'static str, address: &str) -> Result<Url, InvalidKakaoOptions> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| InvalidKakaoOptions::Address { key, address: address.to_owned() })
}

#[derive(Deserialize)]
struct Token {
    access_token: Secret,
}

#[derive(Deserialize)]
struct ProfileAnswer {
    id: i64,
    #[serde(default)]
    kakao_account: Account,
    #[serde(default)]
    properties: Named,
}

#[derive(Default, Deserialize)]
struct Account {
    #[serde(default)]
    profile: Named,
}

#[derive(Default, Deserialize)]
struct Named {
    nickname: Option<String>,
}

impl ProfileAnswer {
    /// In the newer place, or the older one.
    fn nickname(self) -> Option<String> {
        self.kakao_account.profile.nickname.or(self.properties.nickname)
    }
}

/// Kakao's error bodies: the token's address names `error`, the profile's a number.
#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    error: String,
    #[serde(default)]
    code: i64,
}

async fn ask<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, KakaoError> {
    let mut response = request.send().await.map_err(no_answer)?;
    let status = response.status();
    let body = read_bounded(&mut response).await?;
    if status.is_success() {
        // The parser's words may quote a token: they are left out.
        return serde_json::from_slice(&body)
            .map_err(|error| KakaoError::NoAnswer(format!("{status}, unreadable at column {}", error.column())));
    }
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if !status.is_client_error() || later {
        return Err(KakaoError::NoAnswer(status.to_string()));
    }
    let answer: ErrorAnswer = serde_json::from_slice(&body).unwrap_or_default();
    Err(KakaoError::Refused { status, error: word(&answer) })
}

/// What Kakao calls the error, as far as it is a plain word.
fn word(answer: &ErrorAnswer) -> String {
    const MAX_CHARS: usize = 40;
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let word: String = answer.error.chars().take_while(plain).take(MAX_CHARS).collect();
    if word.is_empty() { answer.code.to_string() } else { word }
}

async fn read_bounded(response: &mut Response) -> Result<Vec<u8>, KakaoError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(KakaoError::NoAnswer(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn no_answer(error: reqwest::Error) -> KakaoError {
    KakaoError::NoAnswer(error.without_url().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_nickname_is_found_in_either_place_or_missing() {
        let nickname = |answer| serde_json::from_value::<ProfileAnswer>(answer).unwrap().nickname();
        let newer =
            json!({"id": 1, "kakao_account": {"profile": {"nickname": "새"}}, "properties": {"nickname": "옛"}});
        assert_eq!(nickname(newer).as_deref(), Some("새"));
        assert_eq!(nickname(json!({"id": 1, "properties": {"nickname": "옛"}})).as_deref(), Some("옛"));
        assert_eq!(nickname(json!({"id": 1, "kakao_account": {}})), None);
    }

    #[test]
    fn an_error_is_named_by_a_plain_word() {
        let named = |error: &str, code| word(&ErrorAnswer { error: error.to_owned(), code });
        assert_eq!(named("invalid_grant", 0), "invalid_grant");
        assert_eq!(named("bad code=SECRET", 0), "bad");
        assert_eq!(named("", -401), "-401");
    }
}
