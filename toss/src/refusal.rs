//! What can come back instead of a payment, and what it means.
//!
//! Source of the tables: Toss's documentation and the measurements in `facts-toss`. Decide by code, never by HTTP
//! status: the same status carries final refusals and unknown outcomes alike.

use std::fmt;

/// A call that brought no payment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing that can be read came back: whether the call had its effect is unknown, unless it never connected.
    #[error("Toss gave no answer ({kind}): {detail}")]
    NoAnswer {
        /// How it failed.
        kind: NoAnswerKind,
        /// For the log.
        detail: String,
    },
    /// Toss answered with an error.
    #[error("Toss refused: {0}")]
    Refused(Refusal),
}

/// How an answer failed to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoAnswerKind {
    /// No connection was made: the call surely had no effect.
    Connect,
    /// The time was up.
    Timeout,
    /// The connection ended in the middle.
    Reset,
    /// A success that is no Payment object, or larger than any.
    Unreadable,
}

impl NoAnswerKind {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            NoAnswerKind::Connect => "connect",
            NoAnswerKind::Timeout => "timeout",
            NoAnswerKind::Reset => "reset",
            NoAnswerKind::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for NoAnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that Toss sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status. Not to be decided by.
    pub http: u16,
    /// Toss's code; `HTTP_<status>` when the answer carried none (a gateway's page, say).
    pub code: String,
    /// For people, in Korean.
    pub message: String,
    /// How long Toss asked us to wait.
    pub retry_after_ms: Option<u64>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.http, self.code, self.message)
    }
}

impl Refusal {
    /// On a look-up: Toss knows no such payment.
    pub fn is_not_found(&self) -> bool {
        matches!(self.code.as_str(), "NOT_FOUND_PAYMENT" | "NOT_FOUND_PAYMENT_SESSION")
    }

    /// Another request under the same key is still running: ask again with the same key.
    pub fn is_still_processing(&self) -> bool {
        self.code == "IDEMPOTENT_REQUEST_PROCESSING"
    }

    /// Our keys or the way we send them are wrong; see [`Class::OurConfiguration`].
    pub fn is_our_configuration(&self) -> bool {
        is_our_configuration(&self.code)
    }

    /// Whether this speaks of Toss's own health rather than of the one payment.
    pub fn is_toss_ailing(&self) -> bool {
        self.http >= 500 || self.http == 429
    }
}

/// What a refusal says about the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It may or may not have happened: look the payment up before anything is sent again.
    Unknown,
    /// It did not happen, and never will.
    Final,
    /// It did not happen, but may be tried later.
    Later,
    /// Our keys are wrong: stop calling, raise an alarm, keep the command waiting.
    OurConfiguration,
}

/// What the code of a refused confirm means; a code that is not listed is [`Class::Unknown`].
pub fn classify_confirm(code: &str) -> Class {
    const FINAL: [&str; 12] = [
        "INVALID_REQUEST",
        "INVALID_STOPPED_CARD",
        "INVALID_REJECT_CARD",
        "BELOW_MINIMUM_AMOUNT",
        "UNAPPROVED_ORDER_ID",
        "REJECT_CARD_PAYMENT",
        "REJECT_CARD_COMPANY",
        "REJECT_ACCOUNT_PAYMENT",
        "FORBIDDEN_REQUEST",
        "INVALID_PASSWORD",
        "FDS_ERROR",
        "NOT_FOUND_PAYMENT_SESSION",
    ];
    const FINAL_PREFIXES: [&str; 3] = ["INVALID_CARD_", "EXCEED_MAX_", "NOT_SUPPORTED_"];
    const LATER: [&str; 2] = ["NOT_AVAILABLE_BANK", "NOT_AVAILABLE_PAYMENT"];
    if is_our_configuration(code) {
        Class::OurConfiguration
    } else if FINAL.contains(&code) || FINAL_PREFIXES.iter().any(|prefix| code.starts_with(prefix)) {
        Class::Final
    } else if LATER.contains(&code) {
        Class::Later
    } else {
        Class::Unknown
    }
}

/// What the code of a refused cancel means; a code that is not listed is [`Class::Unknown`].
///
/// `ALREADY_CANCELED_PAYMENT`, `ALREADY_REFUND_PAYMENT` and `NOT_CANCELABLE_AMOUNT` are unknown on purpose: perhaps it
/// was this very cancel, under an earlier key, that used the amount up.
pub fn classify_cancel(code: &str) -> Class {
    const FINAL: [&str; 9] = [
        "NOT_MATCHES_REFUNDABLE_AMOUNT",
        "REFUND_REJECTED",
        "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT",
        "INVALID_BANK",
        "NOT_CANCELABLE_PAYMENT",
        "EXCEED_MAX_REFUND_DUE",
        "EXCEED_CANCEL_LIMIT",
        "NOT_ALLOWED_PARTIAL_REFUND",
        "NOT_FOUND_PAYMENT",
    ];
    if is_our_configuration(code) {
        Class::OurConfiguration
    } else if FINAL.contains(&code) || code.starts_with("INVALID_REFUND_ACCOUNT_") {
        Class::Final
    } else {
        Class::Unknown
    }
}

pub(crate) fn is_our_configuration(code: &str) -> bool {
    matches!(code, "INVALID_API_KEY" | "UNAUTHORIZED_KEY" | "INCORRECT_BASIC_AUTH_FORMAT")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a row of the facts table.
    fn codes(row: &str) -> impl Iterator<Item = &str> {
        row.split(", ").map(str::trim).filter(|code| !code.is_empty())
    }

    fn assert_class(classify: fn(&str) -> Class, row: &str, class: Class) {
        for code in codes(row) {
            // A row's `*` stands for any ending.
            let code = code.replace('*', "SOMETHING");
            assert_eq!(classify(&code), class, "{code}");
        }
    }

    #[test]
    fn confirm_codes_are_classed_as_the_table_says() {
        assert_class(
            classify_confirm,
            "IDEMPOTENT_REQUEST_PROCESSING, ALREADY_PROCESSED_PAYMENT, PROVIDER_ERROR, CARD_PROCESSING_ERROR, \
             FAILED_INTERNAL_SYSTEM_PROCESSING, FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING, UNKNOWN_PAYMENT_ERROR, \
             HTTP_502, HTTP_429, NOT_FOUND_PAYMENT, A_CODE_OF_NEXT_YEAR",
            Class::Unknown,
        );
        assert_class(
            classify_confirm,
            "INVALID_REQUEST, INVALID_CARD_*, INVALID_STOPPED_CARD, INVALID_REJECT_CARD, EXCEED_MAX_*, \
             BELOW_MINIMUM_AMOUNT, NOT_SUPPORTED_*, UNAPPROVED_ORDER_ID, REJECT_CARD_PAYMENT, REJECT_CARD_COMPANY, \
             REJECT_ACCOUNT_PAYMENT, FORBIDDEN_REQUEST, INVALID_PASSWORD, FDS_ERROR, NOT_FOUND_PAYMENT_SESSION",
            Class::Final,
        );
        assert_class(classify_confirm, "NOT_AVAILABLE_BANK, NOT_AVAILABLE_PAYMENT", Class::Later);
        assert_class(
            classify_confirm,
            "INVALID_API_KEY, UNAUTHORIZED_KEY, INCORRECT_BASIC_AUTH_FORMAT",
            Class::OurConfiguration,
        );
    }

    #[test]
    fn cancel_codes_are_classed_as_the_table_says() {
        assert_class(
            classify_cancel,
            "IDEMPOTENT_REQUEST_PROCESSING, PROVIDER_ERROR, FORBIDDEN_CONSECUTIVE_REQUEST, FAILED_REFUND_PROCESS, \
             FAILED_PARTIAL_REFUND, FAILED_METHOD_HANDLING_CANCEL, COMMON_ERROR, FAILED_*, ALREADY_CANCELED_PAYMENT, \
             ALREADY_REFUND_PAYMENT, NOT_CANCELABLE_AMOUNT, NOT_AVAILABLE_BANK, HTTP_500, A_CODE_OF_NEXT_YEAR",
            Class::Unknown,
        );
        assert_class(
            classify_cancel,
            "NOT_MATCHES_REFUNDABLE_AMOUNT, REFUND_REJECTED, EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT, \
             INVALID_REFUND_ACCOUNT_*, INVALID_BANK, NOT_CANCELABLE_PAYMENT, EXCEED_MAX_REFUND_DUE, \
             EXCEED_CANCEL_LIMIT, NOT_ALLOWED_PARTIAL_REFUND, NOT_FOUND_PAYMENT",
            Class::Final,
        );
        assert_class(
            classify_cancel,
            "INVALID_API_KEY, UNAUTHORIZED_KEY, INCORRECT_BASIC_AUTH_FORMAT",
            Class::OurConfiguration,
        );
    }
}
