//! Toss's list of transactions: every move of money by its day, for comparing.
//!
//! Promises: read tolerantly, like the Payment object. Doesn't: judge.

use crate::PaymentStatus;
use contracts::{UnixMs, Won};
use serde::Deserialize;
use time::{
    OffsetDateTime,
    macros::{format_description, offset},
};

/// Transactions of one page: few enough that a page stays below [`crate::client::MAX_ANSWER_BYTES`].
pub const PAGE: usize = 500;

/// One move of money: a payment that was confirmed or deposited, or a cancel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Toss's key of this move; also where the next page begins.
    pub transaction_key: String,
    /// Our order.
    pub order_id: String,
    /// How the payment stood after it: `DONE` took money, `CANCELED` and `PARTIAL_CANCELED` gave it back.
    pub status: PaymentStatus,
    /// How much. Of a cancel: what it gave back, whichever sign it is told with.
    pub amount: Won,
}

/// An instant as the list's query takes it: Seoul's time without a zone, to the second.
pub(crate) fn seoul(at: UnixMs) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000))
        .ok()
        .and_then(|time| time.to_offset(offset!(+9)).format(&format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_asked_for_in_seoul() {
        assert_eq!(seoul(UnixMs(1_707_794_277_999)), "2024-02-13T12:17:57");
    }

    #[test]
    fn what_is_not_known_of_a_transaction_is_passed_over() {
        let text = r#"[{"mId": "m", "transactionKey": "t1", "paymentKey": "k", "orderId": "o", "method": "카드",
                        "status": "DONE", "transactionAt": "2024-02-13T12:17:57+09:00", "currency": "KRW",
                        "amount": 1000, "new": {}}]"#;
        let read: Vec<Transaction> = serde_json::from_str(text).unwrap();
        assert_eq!((read[0].order_id.as_str(), read[0].amount), ("o", Won(1_000)));
    }
}
