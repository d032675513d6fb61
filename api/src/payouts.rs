//! What administrators transfer by hand: the payout legs of approved refunds, and what became of each.
//!
//! Promises: account numbers are masked, except by [`account`], which notes who looks, and when, before it shows one; and
//! shows it only while its transfer is to be made, and never while its user owes.
//! Doesn't: know whether a transfer was really made. That is the administrator's word.

use crate::{
    auth::Administrator,
    commands::{Ask, Identity, Wishes},
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure, Nothing},
    openapi::bodies,
    request::{JsonBody, PathLeg, Query},
    seoul::local,
};
use axum::{extract::State, response::Response};
use contracts::{Command, RefundId, ResultCode, UnixMs, UserId, command::MAX_REASON_CHARS};
use serde::Serialize;
use utoipa::ToSchema;

/// Rows in an answer to a client that names no page.
const UNPAGED: i64 = 500;

/// A part of a refund that is to be transferred.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payout {
    refund_id: i64,
    leg_no: i16,
    user_id: i64,
    amount: i64,
    bank: String,
    /// Masked.
    account_number: String,
    waiting_since: String,
    /// The user owes what Toss took back: nothing is paid out until that is repaid. A payout that fails repays it.
    frozen: bool,
}

/// Where to transfer to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    bank: String,
    account_number: String,
}

/// What is to be transferred, oldest first.
#[utoipa::path(
    get,
    path = "/api/admin/payouts",
    operation_id = "payouts",
    tag = "administrators",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Oldest first", body = Envelope<Vec<Payout>>)),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    _: Administrator,
    Query(mut query): Query,
) -> Result<Answer<Vec<Payout>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = sqlx::query!(
        "SELECT l.refund_id, l.leg_no, r.user_id, l.amount, r.bank, r.account_masked, l.updated_at_ms,
                COALESCE(d.amount, 0) AS `debt!: i64`
         FROM refund_legs l JOIN refunds r ON r.refund_id = l.refund_id
         LEFT JOIN receivables d ON d.user_id = r.user_id
         WHERE l.state = 'planned' AND l.route = 'payout'
         ORDER BY l.updated_at_ms, l.refund_id, l.leg_no LIMIT ? OFFSET ?",
        page.size,
        page.offset
    );
    let rows = api.within(read.fetch_all(&api.database)).await?;
    let payouts = rows.into_iter().map(|row| Payout {
        refund_id: row.refund_id,
        leg_no: row.leg_no,
        user_id: row.user_id,
        amount: row.amount,
        bank: row.bank,
        account_number: row.account_masked,
        waiting_since: local(UnixMs(row.updated_at_ms)),
        frozen: row.debt > 0,
    });
    Ok(Answer(payouts.collect()))
}

/// Shows the account number of a payout that waits for its transfer, and notes to whom.
#[utoipa::path(
    post,
    path = "/api/admin/payouts/{refund}/{leg}/account",
    operation_id = "reveal_payout_account",
    tag = "administrators",
    params(("refund" = u64, Path), ("leg" = u32, Path)),
    responses((status = 200, description = "Where to transfer to", body = Envelope<Account>)),
)]
pub(crate) async fn account(
    State(api): State<Shared>,
    Administrator(caller): Administrator,
    leg: PathLeg,
) -> Result<Answer<Account>, Failure> {
    let (refund, leg) = leg.known().ok_or(ResultCode::RefundNotFound)?;
    let read = sqlx::query!(
        "SELECT r.bank, r.account_cipher, COALESCE(d.amount, 0) AS `debt!: i64`
         FROM refund_legs l JOIN refunds r ON r.refund_id = l.refund_id
         LEFT JOIN receivables d ON d.user_id = r.user_id
         WHERE l.refund_id = ? AND l.leg_no = ? AND l.route = 'payout' AND l.state = 'planned'",
        refund.0,
        leg
    );
    let row = api.within(read.fetch_optional(&api.database)).await?.ok_or(ResultCode::RefundNotFound)?;
    if row.debt > 0 {
        return Err(ResultCode::DebtOpen.into());
    }
    let account_number = api.cipher.open(&row.account_cipher).map_err(|error| {
        tracing::error!(%refund, %error, "a refund's account number cannot be shown to whoever is to pay it");
        ResultCode::Unexpected
    })?;
    api.note_account_reveal(refund, leg, caller.user).await?;
    Ok(Answer(Account { bank: row.bank, account_number }))
}

/// Says that a payout's transfer was made; or, of a suspended cancel, that Toss gave the money back. However often an administrator clicks, it is one command.
#[utoipa::path(
    post,
    path = "/api/admin/payouts/{refund}/{leg}/made",
    operation_id = "confirm_payout",
    tag = "administrators",
    params(("refund" = u64, Path), ("leg" = u32, Path)),
    responses((status = 200, description = "It is booked", body = Envelope<Nothing>)),
)]
pub(crate) async fn made(
    State(api): State<Shared>,
    Administrator(caller): Administrator,
    wishes: Wishes,
    leg: PathLeg,
) -> Result<Response, Failure> {
    let (refund, leg) = api.payout(&leg).await?;
    let command = Command::ConfirmPayout { refund, leg };
    let identity = Identity::ByNature(format!("{refund}-{leg}"));
    api.submit(&wishes, Ask { user: caller.user, at: api.clock.now(), identity, command }).await
}

/// Says that a payout's transfer cannot be made: its points are the user's again, who is told why.
#[utoipa::path(
    post,
    path = "/api/admin/payouts/{refund}/{leg}/failed",
    operation_id = "fail_payout",
    tag = "administrators",
    params(("refund" = u64, Path), ("leg" = u32, Path)),
    request_body = bodies::Refusal,
    responses((status = 200, description = "The points are returned", body = Envelope<Nothing>)),
)]
pub(crate) async fn failed(
    State(api): State<Shared>,
    Administrator(caller): Administrator,
    wishes: Wishes,
    leg: PathLeg,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Failure> {
    let reason = fields.line("reason", MAX_REASON_CHARS);
    fields.valid()?;
    let (refund, leg) = api.payout(&leg).await?;
    let command = Command::FailPayout { refund, leg, reason };
    let identity = Identity::ByNature(format!("{refund}-{leg}"));
    api.submit(&wishes, Ask { user: caller.user, at: api.clock.now(), identity, command }).await
}

impl Api {
    /// A leg that awaits a person's word, or has ended: a payout, or a cancel whose command is suspended. Of another one
    /// nothing must be asked yet: the refusal would be its outcome for ever.
    async fn payout(&self, leg: &PathLeg) -> Result<(RefundId, u32), Failure> {
        let (refund, leg) = leg.known().ok_or(ResultCode::RefundNotFound)?;
        let read = sqlx::query_scalar!(
            "SELECT l.leg_no FROM refund_legs l LEFT JOIN commands c ON c.command_id = l.command_id
             WHERE l.refund_id = ? AND l.leg_no = ?
               AND (l.route = 'payout' OR l.state IN ('paid', 'returned') OR c.state = 'suspended')",
            refund.0,
            leg
        );
        self.within(read.fetch_optional(&self.database)).await?.ok_or(ResultCode::RefundNotFound)?;
        Ok((refund, leg))
    }

    async fn note_account_reveal(&self, refund: RefundId, leg: u32, administrator: UserId) -> Result<(), Failure> {
        let insert = sqlx::query!(
            "INSERT INTO account_reveals (refund_id, leg_no, administrator_id, revealed_at_ms) VALUES (?, ?, ?, ?)",
            refund.0,
            leg,
            administrator.0,
            self.clock.now().0
        );
        self.within(insert.execute(&self.database)).await.map(drop)
    }
}
