//! `POST /api/users/points/refunds`: points are held until an administrator approves. From here on the account number
//! travels encrypted.
//! [`own`]: what became of them.

pub(crate) mod own;

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::Shared,
    envelope::{Envelope, Failure},
    openapi::{answers::RefundRequested, bodies},
    request::JsonBody,
};
use axum::{extract::State, response::Response};
use contracts::{Command, ResultCode, Won};
use platform::cipher::mask;

const MAX_POINT: i64 = 1_000_000_000_000;
const MAX_BANK_CHARS: usize = 40;
const MAX_ACCOUNT_CHARS: usize = 30;

/// Asks for points to be paid back.
#[utoipa::path(
    post,
    path = "/api/users/points/refunds",
    operation_id = "request_refund",
    tag = "users",
    request_body = bodies::RefundWanted,
    responses((status = 200, description = "The points are held", body = Envelope<RefundRequested>)),
)]
pub(crate) async fn request(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Failure> {
    let point = Won(fields.integer("point", 1..=MAX_POINT));
    let bank = fields.line("bank", MAX_BANK_CHARS);
    let message = format!("숫자와 '-'로 된 {MAX_ACCOUNT_CHARS}자 이하여야 합니다.");
    let account = fields.text_where("accountNumber", &message, is_account_number);
    fields.valid()?;

    let account_cipher = api.cipher.seal(&account).map_err(|_| ResultCode::Unexpected)?;
    let (account_masked, account_hash) = (mask(&account), api.cipher.hash(&bank, &account));
    let command = Command::RequestRefund { point, bank, account_cipher, account_masked, account_hash };
    let ask = Ask { user: caller.user, at: api.clock.now(), identity: Identity::ByClient, command };
    api.submit(&wishes, ask).await
}

fn is_account_number(text: &str) -> bool {
    (1..=MAX_ACCOUNT_CHARS).contains(&text.len())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_number_is_digits_and_dashes() {
        for good in ["110-123-456789", "1", &"1".repeat(30)] {
            assert!(is_account_number(good), "{good}");
        }
        for bad in ["", "---", "110 123", "110-abc", "１１０", &"1".repeat(31)] {
            assert!(!is_account_number(bad), "{bad}");
        }
    }
}
