//! `POST /api/users/signup`: one transaction for the user, the balance and the gift. The unique keys decide who was
//! first; nothing is looked up beforehand.

use crate::{
    client_address::ClientAddress,
    context::Shared,
    envelope::{Answer, Envelope, Failure, Nothing},
    openapi::bodies,
    request::{Fields, JsonBody},
};
use axum::extract::State;
use contracts::{CommandId, ResultCode, UnixMs, UserId, Won};
use domain::ledger::{Heading, Transfer};
use platform::database::is_duplicate;
use sha2::{Digest, Sha256};
use sqlx::{MySql, MySqlPool, Transaction};

/// The kind under which a sign-up stands among the commands: its gift needs one to name.
const SIGN_UP: &str = "sign_up";

/// Somebody who is to have an account.
pub(super) struct NewUser {
    pub(super) login_id: String,
    pub(super) nickname: String,
    /// None for those who come from Kakao.
    pub(super) password_hash: Option<String>,
    pub(super) gift: Won,
    pub(super) at: UnixMs,
}

/// Signs a user up.
#[utoipa::path(
    post,
    path = "/api/users/signup",
    operation_id = "sign_up",
    tag = "users",
    request_body = bodies::SignUp,
    responses((status = 200, description = "There is a user", body = Envelope<Nothing>)),
)]
pub(crate) async fn post(
    State(api): State<Shared>,
    client: ClientAddress,
    JsonBody(mut fields): JsonBody,
) -> Result<Answer<Nothing>, Failure> {
    let login_id = fields.text_where("loginId", "영문과 숫자 4자 이상 20자 이하여야 합니다.", is_login_id);
    let nickname = fields.text_where("nickname", "영문, 숫자, 한글 2자 이상 20자 이하여야 합니다.", is_nickname);
    let password = new_password(&mut fields);
    fields.valid()?;
    api.count_sign_up(client, &login_id).await?;

    let password_hash = api.passwords.hash(password).await?;
    let gift = Won(api.config.market.sign_up_gift);
    let user = NewUser { login_id, nickname, password_hash: Some(password_hash), gift, at: api.clock.now() };
    api.within(create(&api.database, &user)).await?;
    Ok(Answer(Nothing {}))
}

async fn create(database: &MySqlPool, user: &NewUser) -> Result<(), Failure> {
    let mut transaction = database.begin().await?;
    insert(&mut transaction, user).await?;
    Ok(transaction.commit().await?)
}

/// User, balance and gift; 1000 or 1001 when a name is taken.
pub(super) async fn insert(transaction: &mut Transaction<'_, MySql>, user: &NewUser) -> Result<UserId, Failure> {
    let provider = if user.password_hash.is_some() { "local" } else { "kakao" };
    let inserted = sqlx::query!(
        "INSERT INTO users (login_id, nickname, password_hash, role, provider, created_at_ms)
         VALUES (?, ?, ?, 'user', ?, ?)",
        user.login_id,
        user.nickname,
        user.password_hash,
        provider,
        user.at.0
    )
    .execute(&mut **transaction)
    .await
    .map_err(taken)?;
    let id = UserId(inserted.last_insert_id());
    sqlx::query!("INSERT INTO balances (user_id, available, held) VALUES (?, ?, 0)", id.0, user.gift.0)
        .execute(&mut **transaction)
        .await?;
    if user.gift > Won::ZERO {
        give(transaction, id, user.gift, user.at).await?;
    }
    Ok(id)
}

/// Books the gift, and the sign-up as the command that caused it.
async fn give(transaction: &mut Transaction<'_, MySql>, user: UserId, gift: Won, at: UnixMs) -> Result<(), Failure> {
    let command = CommandId::derived(user, SIGN_UP, "");
    let command_bytes = command.bytes();
    let fingerprint = Sha256::digest(format!("{SIGN_UP}\n{user}"));
    sqlx::query!(
        "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts,
                               accepted_at_ms, updated_at_ms)
         VALUES (?, ?, ?, ?, 'done', 0, '{}', 1, ?, ?)",
        command_bytes.as_slice(),
        SIGN_UP,
        user.0,
        fingerprint.as_slice(),
        at.0,
        at.0
    )
    .execute(&mut **transaction)
    .await?;
    let heading = Heading { command, no: 0, reference: format!("user {user}"), at };
    let transfer = Transfer::gift(heading, user, gift)?;
    for entry in &transfer.entries {
        sqlx::query!(
            "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference,
                                         created_at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            command_bytes.as_slice(),
            transfer.no,
            transfer.reason.as_str(),
            entry.account.as_str(),
            entry.user.0,
            entry.amount.0,
            transfer.reference,
            transfer.at.0
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

/// Which of the two unique names was taken. Neither may contain the name of a key.
fn taken(error: sqlx::Error) -> Failure {
    if !is_duplicate(&error) {
        return error.into();
    }
    if error.to_string().contains("users_login_id") {
        ResultCode::LoginIdTaken.into()
    } else {
        ResultCode::NicknameTaken.into()
    }
}

pub(crate) fn is_login_id(text: &str) -> bool {
    (4..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(super) fn is_nickname(text: &str) -> bool {
    (2..=20).contains(&text.chars().count()) && text.chars().all(is_nickname_letter)
}

pub(super) fn is_nickname_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '가'..='힣' | 'ㄱ'..='ㅣ')
}

fn new_password(fields: &mut Fields) -> String {
    let message = "소문자와 숫자를 포함한 영문, 숫자, @#$%^&+=! 8자 이상 30자 이하여야 합니다.";
    fields.text_where("password", message, is_password)
}

pub(crate) fn is_password(text: &str) -> bool {
    (8..=30).contains(&text.len())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@#$%^&+=!".contains(&byte))
}

/// Whether a login id could have been signed up with: others need not be looked for.
pub(super) fn is_possible_login_id(text: &str) -> bool {
    is_login_id(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_follow_the_contract() {
        for good in ["abcd", "A1b2C3d4E5f6G7h8I9j0"] {
            assert!(is_login_id(good), "{good}");
        }
        for bad in ["abc", "abcdefghijklmnopqrstu", "ab cd", "abc_d", "아이디로"] {
            assert!(!is_login_id(bad), "{bad}");
        }
        for good in ["가나", "ab", "홍길동1", "ㅋㅋ", &"가".repeat(20)] {
            assert!(is_nickname(good), "{good}");
        }
        for bad in ["가", "a b", "a-b", "é9", "😀😀", &"가".repeat(21)] {
            assert!(!is_nickname(bad), "{bad}");
        }
        for good in ["abcdefg1", "ABCDEFa1", "a1@#$%^&+=!"] {
            assert!(is_password(good), "{good}");
        }
        for bad in ["abcdef1", "abcdefgh", "ABCDEFG1", "abcdefg1 ", "abcdefg1*", &"a1".repeat(16), "비밀번호abc1"] {
            assert!(!is_password(bad), "{bad}");
        }
    }
}
