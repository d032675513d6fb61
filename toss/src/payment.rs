//! Toss's Payment object, read tolerantly.
//!
//! Promises: the fields that money depends on are typed and must be there; everything else may be missing, new or
//! of a new value, and stays in [`Payment::raw`].
//! Doesn't: judge. Whether a payment may be credited is `domain::payment`'s decision.

use contracts::{UnixMs, Won};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;
use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::well_known::Rfc3339,
    macros::{format_description, offset},
};

/// Where a payment stands at Toss.
///
/// ```text
/// READY ──► IN_PROGRESS ──► DONE ──► CANCELED | PARTIAL_CANCELED
///   │  ╲        │    ╲────► ABORTED
///   │   ╲       └─────────► EXPIRED
///   ▼    ╲────────────────► EXPIRED
/// WAITING_FOR_DEPOSIT ◄──► DONE        (virtual accounts)
/// ```
/// After partial cancels that add up to everything the status stays `PARTIAL_CANCELED`: whether a payment is fully
/// refunded is read from [`Payment::balance_amount`], never from here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum PaymentStatus {
    /// The payment window is open.
    Ready,
    /// Authenticated by the payer, not yet confirmed by us.
    InProgress,
    /// A virtual account that nobody has paid into yet.
    WaitingForDeposit,
    /// Paid.
    Done,
    /// Taken back as a whole, in one cancel.
    Canceled,
    /// Taken back in parts, possibly all of it.
    PartialCanceled,
    /// The confirm was refused.
    Aborted,
    /// Nobody authenticated or confirmed in time.
    Expired,
    /// A status that Toss introduced after this was written.
    Other(String),
}

impl PaymentStatus {
    /// As Toss writes it.
    pub fn as_str(&self) -> &str {
        match self {
            PaymentStatus::Ready => "READY",
            PaymentStatus::InProgress => "IN_PROGRESS",
            PaymentStatus::WaitingForDeposit => "WAITING_FOR_DEPOSIT",
            PaymentStatus::Done => "DONE",
            PaymentStatus::Canceled => "CANCELED",
            PaymentStatus::PartialCanceled => "PARTIAL_CANCELED",
            PaymentStatus::Aborted => "ABORTED",
            PaymentStatus::Expired => "EXPIRED",
            PaymentStatus::Other(text) => text,
        }
    }
}

impl From<String> for PaymentStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "READY" => PaymentStatus::Ready,
            "IN_PROGRESS" => PaymentStatus::InProgress,
            "WAITING_FOR_DEPOSIT" => PaymentStatus::WaitingForDeposit,
            "DONE" => PaymentStatus::Done,
            "CANCELED" => PaymentStatus::Canceled,
            "PARTIAL_CANCELED" => PaymentStatus::PartialCanceled,
            "ABORTED" => PaymentStatus::Aborted,
            "EXPIRED" => PaymentStatus::Expired,
            _ => PaymentStatus::Other(text),
        }
    }
}

impl fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One cancel of a payment, whole or partial.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cancel {
    /// How much was given back.
    pub cancel_amount: Won,
    /// The reason that was sent with it. Refund legs are recognised by it.
    #[serde(default)]
    pub cancel_reason: Option<String>,
    /// Toss's key of this cancel.
    #[serde(default)]
    pub transaction_key: Option<String>,
    /// Whether it is through; `DONE` where nothing else is said.
    #[serde(default)]
    pub cancel_status: Option<String>,
    /// When, as Toss writes it.
    #[serde(default)]
    pub canceled_at: Option<String>,
}

/// Why a payment was aborted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// Toss's code.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A payment, as Toss told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Payment {
    /// Toss's key of the payment.
    pub payment_key: String,
    /// Our order.
    pub order_id: String,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What was paid.
    pub total_amount: Won,
    /// What of it can still be cancelled.
    pub balance_amount: Won,
    /// `KRW`; empty when Toss said nothing.
    pub currency: String,
    /// Every cancel so far.
    pub cancels: Vec<Cancel>,
    /// Why it was aborted.
    pub failure: Option<Failure>,
    /// Of virtual accounts: what `DEPOSIT_CALLBACK` proves itself by. For nobody else's eyes.
    pub secret: Option<String>,
    /// Of virtual accounts: until when somebody may pay, where Toss said it in a form that we know.
    pub deposit_due: Option<UnixMs>,
    /// All of it, as received.
    pub raw: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    payment_key: String,
    order_id: String,
    status: PaymentStatus,
    total_amount: Won,
    balance_amount: Won,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    cancels: Option<Vec<Cancel>>,
    #[serde(default)]
    failure: Option<Failure>,
    #[serde(default)]
    secret: Option<String>,
}

/// What the REST contract hands to the front end, and nothing more: the rest (a virtual account's webhook secret, for
/// one) is not the browser's business.
const FRONT_END_FIELDS: [&str; 18] = [
    "mId",
    "version",
    "paymentKey",
    "orderId",
    "orderName",
    "currency",
    "method",
    "totalAmount",
    "balanceAmount",
    "suppliedAmount",
    "vat",
    "status",
    "requestedAt",
    "approvedAt",
    "useEscrow",
    "cultureExpense",
    "card",
    "type",
];

/// What a payer needs to know of a virtual account.
const VIRTUAL_ACCOUNT_FIELDS: [&str; 5] = ["accountNumber", "bankCode", "bank", "customerName", "dueDate"];

fn deposit_due(raw: &Value) -> Option<UnixMs> {
    let text = raw.get("virtualAccount")?.get("dueDate")?.as_str()?;
    // Seoul's time where it does not say.
    let local = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let due = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, local).map(|local| local.assume_offset(offset!(+9))))
        .ok()?;
    Some(UnixMs(due.unix_timestamp().saturating_mul(1_000)))
}

fn picked(from: &Value, fields: &[&str]) -> Map<String, Value> {
    let field = |name: &str| from.get(name).cloned().unwrap_or(Value::Null);
    fields.iter().map(|name| ((*name).to_owned(), field(name))).collect()
}

impl Payment {
    /// Reads a Payment object.
    ///
    /// # Errors
    /// When it is no JSON object or one of the fields that money depends on is missing.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        Self::from_json(serde_json::from_slice(body)?)
    }

    /// Reads a Payment object that is JSON already, such as a stored one.
    ///
    /// # Errors
    /// As [`Payment::parse`].
    pub fn from_json(raw: Value) -> Result<Self, serde_json::Error> {
        let typed = Typed::deserialize(&raw)?;
        Ok(Self {
            payment_key: typed.payment_key,
            order_id: typed.order_id,
            status: typed.status,
            total_amount: typed.total_amount,
            balance_amount: typed.balance_amount,
            currency: typed.currency.unwrap_or_default(),
            cancels: typed.cancels.unwrap_or_default(),
            failure: typed.failure,
            secret: typed.secret,
            deposit_due: deposit_due(&raw),
            raw,
        })
    }

    /// What Toss has given back so far.
    pub fn cancelled_amount(&self) -> Won {
        Won(self.total_amount.0.saturating_sub(self.balance_amount.0))
    }

    /// As received, but for what nobody may read later: a virtual account's secret, and the payer's own account.
    pub fn for_storage(&self) -> Value {
        let mut stored = self.raw.clone();
        if let Some(payment) = stored.as_object_mut() {
            payment.remove("secret");
        }
        if let Some(account) = stored.get_mut("virtualAccount").and_then(Value::as_object_mut) {
            account.remove("refundReceiveAccount");
        }
        stored
    }

    /// The object that the REST contract shows to the front end: exactly its fields, `null` where Toss said nothing;
    /// and where a virtual account waits for a deposit, where to pay.
    pub fn for_front_end(&self) -> Value {
        let mut shown = picked(&self.raw, &FRONT_END_FIELDS);
        if let Some(account) = self.raw.get("virtualAccount").filter(|account| account.is_object()) {
            shown.insert("virtualAccount".to_owned(), picked(account, &VIRTUAL_ACCOUNT_FIELDS).into());
        }
        Value::Object(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn smallest() -> Value {
        json!({"paymentKey": "k", "orderId": "order-1", "status": "DONE", "totalAmount": 1000, "balanceAmount": 400})
    }

    #[test]
    fn the_fields_that_money_depends_on_are_enough_and_needed() {
        let payment = Payment::from_json(smallest()).unwrap();
        assert_eq!(payment.status, PaymentStatus::Done);
        assert_eq!(payment.cancelled_amount(), Won(600));
        assert_eq!(payment.currency, "");
        for field in ["paymentKey", "orderId", "status", "totalAmount", "balanceAmount"] {
            let mut without = smallest();
            without.as_object_mut().unwrap().remove(field);
            assert!(Payment::from_json(without).is_err(), "{field}");
        }
    }

    #[test]
    fn what_toss_adds_later_is_kept_and_breaks_nothing() {
        let mut newer = smallest();
        newer["status"] = json!("HALF_DONE");
        newer["cancels"] = json!([{"cancelAmount": 600, "somethingNew": {"deep": 1}, "cancelReason": null}]);
        newer["failure"] = json!(null);
        newer["brandNew"] = json!([1, 2]);
        let payment = Payment::from_json(newer.clone()).unwrap();
        assert_eq!(payment.status, PaymentStatus::Other("HALF_DONE".to_owned()));
        assert_eq!(payment.cancels[0].cancel_amount, Won(600));
        assert_eq!(payment.raw, newer);
    }

    #[test]
    fn every_status_is_written_as_it_was_read() {
        for text in [
            "READY",
            "IN_PROGRESS",
            "WAITING_FOR_DEPOSIT",
            "DONE",
            "CANCELED",
            "PARTIAL_CANCELED",
            "ABORTED",
            "EXPIRED",
            "NEW",
        ] {
            assert_eq!(PaymentStatus::from(text.to_owned()).as_str(), text);
        }
    }

    #[test]
    fn the_front_end_sees_the_contracts_fields_and_no_secret() {
        let mut raw = smallest();
        raw["secret"] = json!("ps_webhook");
        raw["method"] = json!("카드");
        let shown = Payment::from_json(raw).unwrap().for_front_end();
        assert_eq!(shown.as_object().unwrap().len(), FRONT_END_FIELDS.len());
        assert_eq!(shown["method"], json!("카드"));
        assert_eq!(shown["card"], Value::Null);
        assert_eq!(shown.get("secret"), None);
    }

    #[test]
    fn a_virtual_account_is_shown_to_who_shall_pay_into_it_without_what_is_not_theirs() {
        let mut raw = smallest();
        raw["secret"] = json!("ps_webhook");
        raw["virtualAccount"] = json!({"accountNumber": "X650", "bankCode": "20", "dueDate": "2024-02-20T23:59:59+09:00",
                                       "refundReceiveAccount": {"accountNumber": "secret"}});
        let payment = Payment::from_json(raw).unwrap();
        assert_eq!(payment.secret.as_deref(), Some("ps_webhook"));
        assert_eq!(payment.deposit_due, Some(UnixMs(1_708_441_199_000)));
        for (text, due) in [("2024-02-20T23:59:59", Some(UnixMs(1_708_441_199_000))), ("tomorrow", None)] {
            let mut raw = payment.raw.clone();
            raw["virtualAccount"]["dueDate"] = json!(text);
            assert_eq!(Payment::from_json(raw).unwrap().deposit_due, due, "{text}");
        }
        let shown = payment.for_front_end();
        assert_eq!(shown["virtualAccount"]["accountNumber"], json!("X650"));
        assert!(!shown.to_string().contains("secret"), "{shown}");
        let stored = payment.for_storage();
        assert_eq!(stored["virtualAccount"]["dueDate"], payment.raw["virtualAccount"]["dueDate"]);
        assert!(!stored.to_string().contains("secret"), "{stored}");
    }
}
