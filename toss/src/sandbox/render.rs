//! A payment in Toss's JSON.

use super::record::{Account, CancelRecord, Record, Stage};
use contracts::UnixMs;
use serde_json::{Value, json};
use time::{
    OffsetDateTime,
    format_description::well_known::Rfc3339,
    macros::{format_description, offset},
};

/// Whose payments these are.
pub(super) const MERCHANT: &str = "tosspayments";

/// The account of whoever pays into virtual accounts, to which a deposit that was too late would go back.
pub const PAYERS_ACCOUNT: &str = "110987654321";

/// The Payment object, as of `now`.
pub(super) fn payment(record: &Record, now: UnixMs) -> Value {
    let approved_at = match &record.stage {
        Stage::Confirmed { at } => Some(seoul(*at)),
        _ => None,
    };
    let failure = match &record.stage {
        Stage::Aborted { code } => json!({"code": code, "message": "결제가 거절되었습니다."}),
        _ => Value::Null,
    };
    let supplied = without_vat(record.amount.0);
    let issued = record.account.as_ref().filter(|account| account.issued_at.is_some());
    json!({
        "mId": MERCHANT, "version": "2022-11-16", "paymentKey": record.payment_key,
        "type": "NORMAL", "orderId": record.order_id, "orderName": "CHARGE_POINT", "currency": "KRW", "country": "KR",
        "method": method(record), "totalAmount": record.amount, "balanceAmount": record.balance(),
        "suppliedAmount": supplied, "vat": record.amount.0 - supplied, "taxFreeAmount": 0,
        "status": record.status(now), "requestedAt": seoul(record.opened_at), "approvedAt": approved_at,
        "lastTransactionKey": record.last_transaction_key,
        "useEscrow": false, "cultureExpense": false, "isPartialCancelable": true,
        "card": if record.account.is_none() { card(record) } else { Value::Null },
        "virtualAccount": issued.map(|account| virtual_account(account, now)),
        "transfer": null, "mobilePhone": null, "easyPay": null,
        "cancels": cancels(record), "secret": issued.map(|account| account.secret.as_str()), "failure": failure,
        "receipt": {"url": receipt_url(&record.payment_key)},
    })
}

/// How it is paid, in Toss's words.
pub(super) fn method(record: &Record) -> &'static str {
    if record.account.is_some() { "가상계좌" } else { "카드" }
}

pub(super) fn receipt_url(payment_key: &str) -> String {
    format!("https://dashboard.tosspayments.com/receipt/{payment_key}")
}

fn card(record: &Record) -> Value {
    json!({
        "amount": record.amount, "issuerCode": "61", "acquirerCode": "31", "number": "12345678****000*",
        "installmentPlanMonths": 0, "approveNo": "00000000", "useCardPoint": false, "cardType": "신용",
        "ownerType": "개인", "acquireStatus": "READY", "isInterestFree": false, "interestPayer": null,
    })
}

fn virtual_account(account: &Account, now: UnixMs) -> Value {
    json!({
        "accountType": "일반", "accountNumber": account.number, "bankCode": "20", "customerName": "박토스",
        "dueDate": account.due_at().map(seoul), "expired": account.is_overdue(now),
        "settlementStatus": "INCOMPLETED", "refundStatus": "NONE", "refundReceiveAccount": {"bankCode": "20", "accountNumber": PAYERS_ACCOUNT, "holderName": "박토스"},
    })
}

/// `null` while there are none, as Toss has it.
fn cancels(record: &Record) -> Value {
    if record.cancels.is_empty() { Value::Null } else { record.cancels.iter().map(cancel).collect() }
}

fn cancel(cancel: &CancelRecord) -> Value {
    json!({
        "transactionKey": cancel.transaction_key, "cancelAmount": cancel.amount, "cancelReason": cancel.reason,
        "refundableAmount": cancel.balance, "canceledAt": seoul(cancel.at), "cancelStatus": "DONE",
        "taxFreeAmount": 0, "easyPayDiscountAmount": 0,
    })
}

/// The part of a price that is not value added tax: ten elevenths, rounded.
fn without_vat(amount: i64) -> i64 {
    (amount.saturating_mul(10) + 5) / 11
}

/// `2024-02-13T12:17:57+09:00`.
pub(super) fn seoul(at: UnixMs) -> String {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000))
        .ok()
        .and_then(|time| time.to_offset(offset!(+9)).format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// `2024-02-13T12:17:57.000000`: Seoul's time too, as Toss's webhooks have it.
pub(super) fn seoul_without_offset(at: UnixMs) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|time| time.to_offset(offset!(+9)).format(format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_seoul_and_tax_adds_up() {
        assert_eq!(seoul(UnixMs(1_707_794_277_999)), "2024-02-13T12:17:57+09:00");
        assert_eq!(seoul_without_offset(UnixMs(1_707_794_277_999)), "2024-02-13T12:17:57.999000");
        assert_eq!(without_vat(11_000), 10_000);
        assert_eq!(without_vat(1_000), 909);
    }
}
