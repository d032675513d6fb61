//! Login and logout. A wrong password and an unknown user look alike, in the answer and in the time it takes.

use super::sign_up::is_possible_login_id;
use crate::{
    auth::{ACCESS_TOKEN, Caller, REFRESH_TOKEN, bearer, sessions::Role},
    client_address::ClientAddress,
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure, Nothing},
    openapi::bodies,
    request::JsonBody,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use contracts::{ProductId, ResultCode, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// A user, as a login finds one.
pub(crate) struct Found {
    pub(crate) user: UserId,
    pub(crate) login_id: String,
    pub(super) nickname: String,
    pub(super) password_hash: Option<String>,
    pub(crate) role: Role,
    pub(super) provider: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedIn {
    user_id: UserId,
    login_id: String,
    nickname: String,
    role: &'static str,
    provider: String,
    like_product_ids: Vec<ProductId>,
}

/// Begins a session; its tokens are in the headers.
#[utoipa::path(
    post,
    path = "/api/users/login",
    operation_id = "log_in",
    tag = "users",
    request_body = bodies::LogIn,
    responses((status = 200, description = "Logged in", body = Envelope<LoggedIn>, headers(("Access-Token" = String, description = "`Bearer …`"), ("Refresh-Token" = String, description = "`Bearer …`")))),
)]
pub(crate) async fn login(
    State(api): State<Shared>,
    client: ClientAddress,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Failure> {
    let (login_id, password) = (fields.any_text("loginId"), fields.any_text("password"));
    fields.valid()?;
    let found = check(&api, client, &login_id, password).await?;
    logged_in(&api, found).await
}

/// Whose login id and password these are. Every try is counted.
pub(crate) async fn check(
    api: &Api,
    client: ClientAddress,
    login_id: &str,
    password: String,
) -> Result<Found, Failure> {
    api.count_login(client, login_id).await?;
    let found = if is_possible_login_id(login_id) { find(api, login_id).await? } else { None };
    let stored = found.as_ref().and_then(|found| found.password_hash.clone());
    let right = api.passwords.is_right(password, stored).await?;
    match found {
        Some(found) if right => {
            api.know_address(client, login_id).await;
            Ok(found)
        }
        _ => Err(ResultCode::UserNotFound.into()),
    }
}

async fn find(api: &Api, login_id: &str) -> Result<Option<Found>, Failure> {
    let read = sqlx::query!(
        "SELECT user_id, login_id, nickname, password_hash, role, provider FROM users WHERE login_id = ?",
        login_id
    );
    let row = api.within(read.fetch_optional(&api.database)).await?;
    Ok(row.map(|row| Found {
        user: UserId(row.user_id.unsigned_abs()),
        login_id: row.login_id,
        nickname: row.nickname,
        password_hash: row.password_hash,
        role: Role::stored(&row.role),
        provider: row.provider,
    }))
}

/// Begins a session of `found`, and answers with its tokens.
pub(super) async fn logged_in(api: &Api, found: Found) -> Result<Response, Failure> {
    let now = api.clock.now();
    let ends = api.tokens.session_end(now);
    let session = api.begin_session(found.user, ends).await?;
    let pair = api
        .tokens
        .pair(found.user, &found.login_id, session, now, ends)
        .map_err(|_| Failure::from(ResultCode::Unexpected))?;
    let answer = LoggedIn {
        user_id: found.user,
        login_id: found.login_id,
        nickname: found.nickname,
        role: match found.role {
            Role::Administrator => "관리자",
            Role::User => "사용자",
        },
        provider: found.provider.to_ascii_uppercase(),
        like_product_ids: api.liked_by(found.user).await?,
    };
    let mut response = Answer(answer).into_response();
    response.headers_mut().insert(ACCESS_TOKEN, bearer(&pair.access)?);
    response.headers_mut().insert(REFRESH_TOKEN, bearer(&pair.refresh)?);
    Ok(response)
}

/// Ends the caller's session: neither token is accepted any more.
#[utoipa::path(
    post,
    path = "/api/users/logout",
    operation_id = "log_out",
    tag = "users",
    responses((status = 200, description = "Logged out", body = Envelope<Nothing>)),
)]
pub(crate) async fn logout(State(api): State<Shared>, caller: Caller) -> Result<Answer<Nothing>, Failure> {
    api.end_session(caller.session).await?;
    Ok(Answer(Nothing {}))
}
