//! Compares each past day's transactions at Toss with our charges, once it is over. (That the charges are what the
//! ledger says is the audit's business.)
//!
//! ```text
//!  a day is over and not compared ─► Toss's list, page by page ─► what does not agree, or is not listed: suspects
//!                                                                    └─► each is looked up ─► agrees, or a difference
//! ```
//! Promises: a difference becomes a row of `differences` and a metric, and nothing is mended by itself; bounded in pages
//! and look-ups; repeating it changes nothing, so that any number of schedulers may do it. A day that could not be compared
//! whole is compared again.
//! Doesn't: know better than Toss what is true. A person reads the row; Toss's page can send the webhook again, which
//! has the charge followed.

mod books;

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
};
use crate::{differences, laddered::toss_client, payment::seen};
use books::Books;
use contracts::{UnixMs, Won};
use domain::{
    daily_price::SeoulDay,
    payment::{
        State,
        compare::{Finding, Listed, compare},
        follow::{Booked, Difference, Verdict, follow},
    },
};
use std::{collections::BTreeMap, time::Duration};
use toss::{CallError, Client, PaymentStatus, Transaction, transaction::PAGE};

/// So long after a day's end its list is complete, and our commands about it have ended.
const COMPARE_AFTER_MS: i64 = 3_600_000;
/// Days that are made up for, should no scheduler have run.
const LOOK_BACK_DAYS: i64 = 7;
/// Pages of one day: with [`PAGE`] transactions each, more than a market of this size makes.
const MAX_PAGES: usize = 2_000;
/// Look-ups for one day; more suspects than that are no single charges' trouble.
const MAX_LOOK_UPS: usize = 1_000;
/// Between two calls to Toss, which the workers need more urgently.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Toss(#[from] CallError),
    #[error("more than {MAX_PAGES} pages of transactions on one day: raise MAX_PAGES in compare_days")]
    TooManyPages,
    #[error("{0} charges do not agree with Toss's list, more than are looked up one by one: compare the day by hand")]
    TooManySuspects(usize),
    #[error("the process stops")]
    Stopping,
}

/// What was found on one day.
#[derive(Default)]
struct Counts {
    transactions: usize,
    suspects: usize,
    differences: usize,
}

pub(super) async fn run(scheduler: &Scheduler) {
    let client = match toss_client(&scheduler.config) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "days are not compared with Toss");
            return;
        }
    };
    let interval_ms = scheduler.config.scheduler.compare_interval_ms;
    let books = Books::new(scheduler);
    let mut duty =
        Duty::new(scheduler, DutyName::CompareDays, interval_ms).patient(Duration::from_millis(interval_ms) / 10);
    while duty.begins() {
        let looked = look(scheduler, &client, &books).await;
        if matches!(looked, Err(CompareError::Stopping)) {
            return;
        }
        duty.ended(looked).await;
    }
}

/// Compares every day that is over and was not compared; how many days that were.
async fn look(scheduler: &Scheduler, client: &Client, books: &Books) -> Result<Done, CompareError> {
    let last = SeoulDay::of(scheduler.clock.now().plus_ms(-COMPARE_AFTER_MS)).before(1);
    let compared = books.compared_since(last.before(LOOK_BACK_DAYS)).await?;
    let due = (0..LOOK_BACK_DAYS).rev().map(|days| last.before(days)).filter(|day| !compared.contains(day));
    let mut days = 0;
    for day in due {
        let counts = compare_day(scheduler, client, books, day).await?;
        let Counts { transactions, suspects, differences } = counts;
        tracing::info!(day = day.0, transactions, suspects, differences, "a day was compared with Toss");
        books.note_compared(day, &counts, scheduler.clock.now()).await?;
        days += 1;
    }
    Ok(Done::items(days))
}

async fn compare_day(
    scheduler: &Scheduler,
    client: &Client,
    books: &Books,
    day: SeoulDay,
) -> Result<Counts, CompareError> {
    let (from, to) = (day.begins_at(), day.before(-1).begins_at());
    let (listed, transactions) = list(scheduler, client, from, to).await?;
    let mut counts = Counts { transactions, ..Counts::default() };
    let mut suspects = Vec::new();
    let now = scheduler.clock.now();
    for (order_id, listed) in &listed {
        let told = books.charge(order_id).await?.map(|charge| charge.told());
        let difference = match compare(*listed, told) {
            Finding::Agrees => continue,
            Finding::Suspect => {
                suspects.push(order_id.clone());
                continue;
            }
            Finding::OtherAmount => {
                (Difference::OtherTerms, format!("Toss's list says {} won were taken", listed.taken))
            }
            Finding::UnknownOrder => {
                (Difference::UnknownOrder, format!("Toss took {} won for an order that is not ours", listed.taken))
            }
        };
        counts.differences += 1;
        books.note(order_id, difference.0, &difference.1, now).await?;
    }
    suspects.extend(books.moved(from, to).await?.into_iter().filter(|order_id| !listed.contains_key(order_id)));
    counts.suspects = suspects.len();
    if suspects.len() > MAX_LOOK_UPS {
        return Err(CompareError::TooManySuspects(suspects.len()));
    }
    for order_id in suspects {
        pace(scheduler).await?;
        counts.differences += usize::from(look_up(scheduler, client, books, &order_id).await?);
    }
    Ok(counts)
}

/// What Toss lists of each order on a day, and how many transactions that were.
async fn list(
    scheduler: &Scheduler,
    client: &Client,
    from: UnixMs,
    to: UnixMs,
) -> Result<(BTreeMap<String, Listed>, usize), CompareError> {
    let mut listed: BTreeMap<String, Listed> = BTreeMap::new();
    let (mut count, mut after) = (0, None::<String>);
    for _ in 0..MAX_PAGES {
        // The end is meant with its whole second.
        let page = client.transactions(from, to.plus_ms(-1_000), after.as_deref()).await?;
        count += page.len();
        for transaction in &page {
            note(listed.entry(transaction.order_id.clone()).or_default(), transaction);
        }
        match page.last() {
            Some(last) if page.len() >= PAGE => after = Some(last.transaction_key.clone()),
            _ => return Ok((listed, count)),
        }
        pace(scheduler).await?;
    }
    Err(CompareError::TooManyPages)
}

fn note(listed: &mut Listed, transaction: &Transaction) {
    match transaction.status {
        PaymentStatus::Done => {
            listed.times_taken += 1;
            listed.taken = transaction.amount;
        }
        PaymentStatus::Canceled | PaymentStatus::PartialCanceled => {
            let amount = Won(transaction.amount.0.saturating_abs());
            listed.given_back = listed.given_back.checked_add(amount).unwrap_or(Won(i64::MAX));
        }
        _ => {}
    }
}

/// Looks a suspect up; whether it differs indeed.
async fn look_up(scheduler: &Scheduler, client: &Client, books: &Books, order_id: &str) -> Result<bool, CompareError> {
    let Some(charge) = books.charge(order_id).await? else { return Ok(false) };
    let result = match &charge.payment_key {
        Some(payment_key) => client.payment(payment_key).await,
        None => client.payment_by_order(order_id).await,
    };
    let payment = match result {
        Ok(payment) => Some(payment),
        Err(CallError::Refused(refusal)) if refusal.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let now = scheduler.clock.now();
    let seen = payment.as_ref().map(seen);
    // A charge that is not settled a day later is held against Toss like one that has failed.
    let state = if matches!(charge.state, State::Requested | State::Confirming) { State::Failed } else { charge.state };
    let booked = Booked { state, ..charge.booked(order_id) };
    let (kind, why) = match follow(&booked, seen.as_ref(), now) {
        Verdict::Nothing | Verdict::Fail { .. } => {
            books.gone(order_id, now).await?;
            return Ok(false);
        }
        Verdict::Credit => {
            (Difference::NotCredited, format!("Toss took {} won, and nobody was credited", charge.amount))
        }
        Verdict::Reverse { amount, .. } => {
            (Difference::GivenBack, format!("Toss took {amount} won back, and they are credited still"))
        }
        Verdict::Differs { kind, why } => (kind, why),
    };
    books.note(order_id, kind, &why, now).await?;
    Ok(true)
}

async fn pace(scheduler: &Scheduler) -> Result<(), CompareError> {
    if scheduler.shutdown.sleep(PACE).await { Ok(()) } else { Err(CompareError::Stopping) }
}
