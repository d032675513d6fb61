//! `GET /v1/transactions`: what moved in a span of time, for the reconciliation of a day.
//!
//! As Toss has it: a bare array, oldest first; a day is asked for as `…T00:00:00` to `…T23:59:59`, both in Seoul's time
//! and the end's whole second included; the next page starts after the last one's `transactionKey`, which must be a key
//! of the merchant's. An issued virtual account is listed as `WAITING_FOR_DEPOSIT` with the amount 0.
//!
//! **Every amount is positive; the status says which way it went**: `DONE` came in, `CANCELED` and `PARTIAL_CANCELED`
//! went out. (Toss's settlements are another listing, with negative amounts.) Seen in an answer of Toss's that a
//! merchant published (techchat.tosspayments.com, 1273180326297993256), of a virtual account that nobody had paid into:
//! it is a `CANCELED` of the whole amount all the same. So only what was `DONE` before can have gone out. Made up, for
//! want of a source: a `PARTIAL_CANCELED` is as positive as a `CANCELED`, a deposit that the bank took back is
//! `WAITING_FOR_DEPOSIT` with the amount 0 once more, and a limit above [`MAX_TRANSACTIONS`] is refused.
//!
//! Promises: every movement of the journal once, in its order, whatever the paging.
//! Doesn't: list what never came to a confirm.

use super::{answer::Refuse, journal::Effect, record::Record, render};
use contracts::{UnixMs, Won};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::well_known::Rfc3339,
    macros::{format_description, offset},
};

/// The most transactions of one page.
pub const MAX_TRANSACTIONS: usize = 5_000;
/// Those of a page whose size nobody chose.
const DEFAULT_TRANSACTIONS: usize = 100;

/// The query string.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryText {
    start_date: String,
    end_date: String,
    starting_after: Option<String>,
    limit: Option<usize>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    from: UnixMs,
    until: UnixMs,
    starting_after: Option<String>,
    limit: usize,
}

impl QueryText {
    pub(super) fn read(self) -> Result<Query, Refuse> {
        let (from, last) = (second(&self.start_date)?, second(&self.end_date)?);
        let limit = self.limit.unwrap_or(DEFAULT_TRANSACTIONS);
        if !(1..=MAX_TRANSACTIONS).contains(&limit) {
            return Err(Refuse::invalid_request());
        }
        if last < from {
            return Err(Refuse::invalid_date());
        }
        let (from, until) = (UnixMs(from * 1000), UnixMs((last + 1) * 1000));
        Ok(Query { from, until, starting_after: self.starting_after, limit })
    }
}

/// `2022-01-01T00:00:00`, with milliseconds or without, in Seoul's time unless it says otherwise; in seconds.
fn second(text: &str) -> Result<i64, Refuse> {
    let local =
        format_description!(version = 2, "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, local).map(|local| local.assume_offset(offset!(+9))))
        .map_err(|_| Refuse::invalid_date())?;
    Ok(time.unix_timestamp())
}

#[derive(Debug)]
struct Transaction {
    key: String,
    payment_key: String,
    order_id: String,
    method: &'static str,
    status: &'static str,
    amount: Won,
    at: UnixMs,
}

/// Every transaction so far.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    all: Vec<Transaction>,
    by_key: HashMap<String, usize>,
}

impl Transactions {
    /// Takes in what happened to `record`, which shows it already.
    pub(super) fn note(&mut self, effect: &Effect, record: &Record, at: UnixMs) {
        let Some(key) = effect.transaction_key() else { return };
        let amount = match effect {
            Effect::Confirmed { amount, .. }
            | Effect::Deposited { amount, .. }
            | Effect::AccountClosed { amount, .. }
            | Effect::Cancelled { amount, .. } => *amount,
            _ => Won::ZERO,
        };
        self.by_key.insert(key.clone().into_owned(), self.all.len());
        self.all.push(Transaction {
            key: key.into_owned(),
            payment_key: record.payment_key.clone(),
            order_id: record.order_id.clone(),
            method: render::method(record),
            status: record.status(at),
            amount,
            at,
        });
    }

    pub(super) fn page(&self, query: &Query) -> Result<Value, Refuse> {
        let first = match &query.starting_after {
            None => 0,
            Some(key) => self.by_key.get(key).ok_or_else(Refuse::invalid_transaction_key)? + 1,
        };
        let span = query.from..query.until;
        let found = self.all[first..].iter().filter(|transaction| span.contains(&transaction.at));
        Ok(found.take(query.limit).map(show).collect())
    }
}

fn show(transaction: &Transaction) -> Value {
    json!({
        "mId": render::MERCHANT, "transactionKey": transaction.key, "paymentKey": transaction.payment_key,
        "orderId": transaction.order_id, "method": transaction.method, "customerKey": null, "useEscrow": false,
        "receiptUrl": render::receipt_url(&transaction.payment_key), "status": transaction.status,
        "transactionAt": render::seoul(transaction.at), "currency": "KRW", "amount": transaction.amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_seouls_and_its_last_second_is_part_of_it() {
        let read = |start: &str, end: &str, limit| {
            let (start_date, end_date) = (start.to_owned(), end.to_owned());
            QueryText { start_date, end_date, starting_after: None, limit }.read()
        };
        let day = read("2024-02-13T00:00:00", "2024-02-13T23:59:59", None).unwrap();
        assert_eq!((day.from, day.until), (UnixMs(1_707_750_000_000), UnixMs(1_707_836_400_000)));
        assert_eq!(day.limit, DEFAULT_TRANSACTIONS);
        let in_millis = read("2024-02-13T00:00:00.000", "2024-02-13T23:59:59.999", None).unwrap();
        assert_eq!(in_millis, day);
        assert_eq!(read("2024-02-12T15:00:00Z", "2024-02-13T23:59:59+09:00", None).unwrap(), day);
        for bad in ["", "yesterday", "2024-02-30T00:00:00", "2024-02-13"] {
            assert_eq!(read(bad, "2024-02-13T23:59:59", None), Err(Refuse::invalid_date()), "{bad}");
        }
        assert_eq!(read("2024-02-14T00:00:00", "2024-02-13T23:59:59", None), Err(Refuse::invalid_date()));
        for bad in [0, MAX_TRANSACTIONS + 1] {
            let refused = read("2024-02-13T00:00:00", "2024-02-13T23:59:59", Some(bad));
            assert_eq!(refused, Err(Refuse::invalid_request()));
        }
    }
}
