//! Reads what is known of a letter's command. Doesn't lock: a prediction is of this moment.

use super::{
    letter::Letter,
    predict::{ChargeFacts, Facts, LegFacts, Row},
};
use contracts::{Command, CommandId, Envelope, Fingerprint, ProductId, RefundId, UnixMs, UserId, Won};
use platform::database::within;
use sqlx::MySqlPool;
use std::{str::FromStr, time::Duration};

pub(crate) async fn read(database: &MySqlPool, limit: Duration, letter: &Letter) -> Result<Facts, sqlx::Error> {
    within(limit, read_all(database, letter)).await
}

async fn read_all(database: &MySqlPool, letter: &Letter) -> Result<Facts, sqlx::Error> {
    let Some(id) = letter.command else { return Ok(Facts::default()) };
    let (row, revision) = (row(database, id).await?, newest_revision(database, id).await?);
    let mut facts = Facts { row, revision: revision.map(|(_, envelope)| envelope), ..Facts::default() };
    let Some(envelope) = facts.revision.clone().or_else(|| letter.content().ok()) else { return Ok(facts) };
    // Of what has ended nothing else is asked.
    if !facts.row.is_some_and(|row| row.state.is_final()) {
        of_command(database, &envelope, &mut facts).await?;
    }
    Ok(facts)
}

pub(crate) async fn row(database: &MySqlPool, id: CommandId) -> Result<Option<Row>, sqlx::Error> {
    let found = sqlx::query!("SELECT state, fingerprint FROM commands WHERE command_id = ?", &id.bytes()[..])
        .fetch_optional(database)
        .await?;
    found
        .map(|row| {
            let fingerprint = row.fingerprint.try_into().map_err(|_| invalid("a fingerprint is 32 bytes"))?;
            Ok(Row { state: word(&row.state)?, fingerprint: Fingerprint(fingerprint) })
        })
        .transpose()
}

/// The number and content of the newest revision; one that this build cannot read counts as none.
pub(crate) async fn newest_revision(
    database: &MySqlPool,
    id: CommandId,
) -> Result<Option<(i32, Envelope)>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT revision, payload FROM command_revisions WHERE command_id = ? ORDER BY revision DESC LIMIT 1",
        &id.bytes()[..]
    )
    .fetch_optional(database)
    .await?;
    Ok(found.and_then(|row| Some((row.revision, Envelope::decode(row.payload.as_bytes()).ok()?))))
}

async fn of_command(database: &MySqlPool, envelope: &Envelope, facts: &mut Facts) -> Result<(), sqlx::Error> {
    facts.points = points(database, envelope.user).await?;
    match &envelope.command {
        Command::PlaceBuyBid { product, .. }
        | Command::PlaceSellBid { product, .. }
        | Command::BuyNow { product, .. }
        | Command::SellNow { product, .. } => facts.knows_product = knows_product(database, *product).await?,
        Command::CancelBid { bid, .. } => {
            let state = sqlx::query_scalar!("SELECT state FROM bids WHERE bid_id = ?", signed(bid.0))
                .fetch_optional(database)
                .await?;
            facts.bid_is_open = state.as_deref() == Some("open");
        }
        Command::ConfirmCharge { order_id, .. } | Command::FollowPayment { order_id } => {
            facts.charge = charge(database, envelope, order_id).await?;
        }
        Command::RequestRefund { .. } => facts.debt = debt(database, envelope.user).await?,
        Command::ApproveRefund { refund } | Command::RejectRefund { refund, .. } => {
            facts.refund = refund_state(database, *refund).await?;
        }
        Command::CancelCharge { refund, leg }
        | Command::ConfirmPayout { refund, leg }
        | Command::FailPayout { refund, leg, .. } => facts.leg = self::leg(database, *refund, *leg).await?,
        Command::ExpireBids { .. } | Command::CollectDebt { .. } => {}
    }
    Ok(())
}

async fn points(database: &MySqlPool, user: UserId) -> Result<Option<Won>, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT available FROM balances WHERE user_id = ?", signed(user.0))
        .fetch_optional(database)
        .await?;
    Ok(found.map(Won))
}

async fn debt(database: &MySqlPool, user: UserId) -> Result<Won, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT amount FROM receivables WHERE user_id = ?", signed(user.0))
        .fetch_optional(database)
        .await?;
    Ok(found.map_or(Won::ZERO, Won))
}

async fn knows_product(database: &MySqlPool, product: ProductId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT product_id FROM products WHERE product_id = ?", signed(product.0))
        .fetch_optional(database)
        .await?;
    Ok(found.is_some())
}

async fn charge(database: &MySqlPool, envelope: &Envelope, order_id: &str) -> Result<Option<ChargeFacts>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT user_id, amount, state, command_id, payment_key, attempt, failure_code, confirm_by_ms FROM payments
         WHERE order_id = ?",
        order_id
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    Ok(Some(ChargeFacts {
        is_own: row.user_id == signed(envelope.user.0),
        is_this_commands: row.command_id.as_deref() == Some(&envelope.id.bytes()[..]),
        state: word(&row.state)?,
        amount: Won(row.amount),
        payment_key: row.payment_key,
        attempt: u16::try_from(row.attempt).map_err(invalid)?,
        is_key_spent: row.failure_code.is_some(),
        confirm_by: row.confirm_by_ms.map(UnixMs),
    }))
}

async fn refund_state(database: &MySqlPool, refund: RefundId) -> Result<Option<domain::refund::State>, sqlx::Error> {
    let found = sqlx::query_scalar!("SELECT state FROM refunds WHERE refund_id = ?", signed(refund.0))
        .fetch_optional(database)
        .await?;
    found.as_deref().map(word).transpose()
}

async fn leg(database: &MySqlPool, refund: RefundId, leg_no: u32) -> Result<Option<LegFacts>, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT l.route, l.state, l.amount, l.attempt, l.failure_code, l.updated_at_ms,
                p.state AS \"charge_state?\", p.amount AS \"charge_amount?\", p.cancelled_amount AS \"cancelled_amount?\",
                p.reversed_amount AS \"reversed_amount?\"
         FROM refund_legs l LEFT JOIN payments p ON p.order_id = l.order_id
         WHERE l.refund_id = ? AND l.leg_no = ?",
        signed(refund.0),
        leg_no
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let is_credited = row.charge_state.as_deref() == Some(domain::payment::State::Done.as_str());
    let left = row.charge_amount.unwrap_or(0) - row.cancelled_amount.unwrap_or(0) - row.reversed_amount.unwrap_or(0);
    Ok(Some(LegFacts {
        route: word(&row.route)?,
        state: word(&row.state)?,
        amount: Won(row.amount),
        attempt: u16::try_from(row.attempt).map_err(invalid)?,
        key_since: UnixMs(row.updated_at_ms),
        is_key_spent: row.failure_code.is_some(),
        charge_left: if is_credited { Won(left) } else { Won::ZERO },
    }))
}

/// A stored word.
pub(crate) fn word<T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>>(
    text: &str,
) -> Result<T, sqlx::Error> {
    text.parse().map_err(invalid)
}

/// A value that no version of ours writes, or only a newer one.
pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// An id as a column's value. Ids stay below 2^53.
pub(crate) fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
