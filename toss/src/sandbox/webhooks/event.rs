//! What webhooks say.

use super::super::{journal::Effect, record::Record, render};
use contracts::UnixMs;
use serde_json::{Value, json};

/// The bodies of the webhooks about `effect`, which `record` shows already.
pub(in super::super) fn events(effect: &Effect, record: &Record, now: UnixMs) -> Vec<String> {
    let (is_status_told, is_deposit_told) = match effect {
        Effect::Confirmed { .. } | Effect::Aborted { .. } | Effect::Expired { .. } => (true, false),
        Effect::Cancelled { .. } => (true, record.account.is_some()),
        Effect::Deposited { .. } | Effect::AccountClosed { .. } => (true, true),
        Effect::DepositReversed { .. } => (false, true),
        Effect::Opened { .. }
        | Effect::Authenticated { .. }
        | Effect::AccountChosen { .. }
        | Effect::AccountIssued { .. }
        | Effect::Refused => (false, false),
    };
    let status = is_status_told.then(|| status_changed(record, now));
    let deposit = is_deposit_told.then(|| deposit_callback(record, now));
    status.into_iter().chain(deposit).map(|body| body.to_string()).collect()
}

fn status_changed(record: &Record, now: UnixMs) -> Value {
    let created_at = render::seoul_without_offset(now);
    json!({"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": created_at, "data": render::payment(record, now)})
}

/// Flat, without the payment's key; the secret is what it proves itself with.
fn deposit_callback(record: &Record, now: UnixMs) -> Value {
    json!({
        "createdAt": render::seoul_without_offset(now),
        "secret": record.account.as_ref().map(|account| account.secret.as_str()),
        "status": record.status(now), "transactionKey": record.last_transaction_key, "orderId": record.order_id,
    })
}
