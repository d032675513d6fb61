//! Login by Kakao.
//!
//! ```text
//! browser ─► GET …/kakao/start ─► {url}, cookie      (front ends that know their own address of Kakao's skip this)
//!         ─► Kakao ─► redirect_uri?code&state
//!         ─► GET …/kakao?code&state ─► token, profile (Kakao) ─► account, session (MySQL) ─► as a login by password
//! ```
//! Promises: a `state` that is sent is checked; a person has one account, whatever comes twice or at once.
//! Doesn't: keep anything of Kakao's but its number of the person.

mod account;
mod client;
mod names;
mod state;

pub use client::InvalidKakaoOptions;

use super::login::{LoggedIn, logged_in};
use crate::{
    client_address::ClientAddress,
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure},
    request::Query,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use client::{Client, KakaoError, http_url};
use contracts::ResultCode;
use platform::config::KakaoConfig;
use reqwest::Url;
use serde::Serialize;
use utoipa::ToSchema;

const MAX_CODE_CHARS: usize = 512;
const MAX_STATE_CHARS: usize = 200;

/// Login by Kakao, as configured.
pub(crate) struct Kakao {
    client: Client,
    authorize_url: Url,
}

impl Kakao {
    /// `None` while it is off.
    pub(crate) fn configured(config: &KakaoConfig) -> Result<Option<Self>, InvalidKakaoOptions> {
        if !config.is_on() {
            return Ok(None);
        }
        let mut authorize_url = http_url("authorize_url", &config.authorize_url)?;
        authorize_url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &config.client_id),
            ("redirect_uri", &config.redirect_uri),
        ]);
        Ok(Some(Self { client: Client::new(config)?, authorize_url }))
    }
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
pub(crate) struct Start {
    url: String,
    state: String,
}

/// Begins a login by Kakao: the address to go to. The cookie that comes with it proves at the end that the same browser
/// began.
#[utoipa::path(
    get,
    path = "/api/users/oauth/kakao/start",
    operation_id = "begin_kakao_login",
    tag = "users",
    responses((status = 200, description = "Where to send the browser", body = Envelope<Start>)),
)]
pub(crate) async fn start(State(api): State<Shared>) -> Result<Response, Failure> {
    let kakao = api.kakao.as_ref().ok_or(ResultCode::KakaoOff)?;
    let begun = state::begin(&api.signer, rand::random(), api.clock.now(), is_secure(&api));
    let begun = begun.ok_or(ResultCode::Unexpected)?;
    let mut url = kakao.authorize_url.clone();
    url.query_pairs_mut().append_pair("state", &begun.state);
    let answer = Answer(Start { url: url.into(), state: begun.state }).into_response();
    Ok(with_cookie(answer, Some(begun.cookie)))
}

/// Logs in by the code that Kakao sent the browser back with.
#[utoipa::path(
    get,
    path = "/api/users/oauth/kakao",
    operation_id = "log_in_by_kakao",
    tag = "users",
    params(("code" = String, Query, description = "Kakao's", pattern = "^[!-~]{1,512}$"), ("state" = Option<String>, Query, description = "As `begin_kakao_login` gave it; checked when it is sent")),
    responses((status = 200, description = "Logged in", body = Envelope<LoggedIn>, headers(("Access-Token" = String, description = "`Bearer …`"), ("Refresh-Token" = String, description = "`Bearer …`")))),
)]
pub(crate) async fn login(
    State(api): State<Shared>,
    client: ClientAddress,
    headers: HeaderMap,
    Query(mut query): Query,
) -> Result<Response, Failure> {
    let kakao = api.kakao.as_ref().ok_or(ResultCode::KakaoOff)?;
    let message = format!("보이는 ASCII 문자 1자 이상 {MAX_CODE_CHARS}자 이하여야 합니다.");
    let code = query.text_where("code", &message, is_code);
    let state = query.optional_text("state", MAX_STATE_CHARS);
    query.valid()?;
    api.count_kakao_login(client).await?;
    let is_genuine = match &state {
        Some(state) => state::is_genuine(&api.signer, state, &headers, api.clock.now()),
        // The contract's front end sends none; a browser that began here has one to send.
        None => !state::has_begun(&headers),
    };
    if !is_genuine {
        return Err(ResultCode::KakaoRefused.into());
    }
    let profile = kakao.client.profile(&code).await.map_err(told)?;
    let found = account::find_or_make(&api, &profile).await?;
    let answer = logged_in(&api, found).await?;
    let used_up = if state.is_some() { state::forget(is_secure(&api)) } else { None };
    Ok(with_cookie(answer, used_up))
}

fn told(error: KakaoError) -> Failure {
    match error {
        KakaoError::Refused { .. } => {
            tracing::info!(%error, "a login by Kakao was refused");
            ResultCode::KakaoRefused.into()
        }
        KakaoError::NoAnswer(_) => {
            tracing::warn!(%error, "Kakao is away");
            metrics::counter!("gream_kakao_away_total").increment(1);
            Failure::away()
        }
    }
}

fn is_code(text: &str) -> bool {
    (1..=MAX_CODE_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_secure(api: &Api) -> bool {
    api.config.http.public_url.starts_with("https://")
}

fn with_cookie(mut answer: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}
