//! Compares each past day's transactions at Toss with our charges, once it is over. (That the charges are what the
//! ledger says is the audit's business.)
//!
//! ```text
//!  a day is over and not compared ─► Toss's list, page by page ─► what does not agree, or is not listed: suspects
//!                                                                    └─► each is looked up ─► agrees, or a difference
//! ```
//! Promises: a difference becomes a row of `differences` and a metric, and nothing is mended by itself; bounded in pages
//! and look-ups; repeating it changes nothing, so that any number of schedulers may do it. A day that could not be compared
//! whole is gone on with where it was left, and holds no other day up.
//! Doesn't: know better than Toss what is true. A person reads the row; Toss's page can send the webhook again, which
//! has the charge followed.

mod books;
mod calls;

use super::{
    Scheduler,
    duty::{Done, Duty, DutyName},
};
use crate::{
    differences,
    payment::{seen, status},
};
use books::Books;
use calls::Calls;
use contracts::{UnixMs, Won};
use domain::{
    daily_price::SeoulDay,
    payment::{
        State,
        compare::{Finding, Listed, compare},
        follow::{Booked, Difference, Verdict, follow, over, unbooked},
    },
};
use std::{collections::BTreeMap, time::Duration};
use toss::{CallError, transaction::PAGE};

/// So long after a day's end its list is complete, and our commands about it have ended.
const COMPARE_AFTER_MS: i64 = 3_600_000;
/// Days that are made up for, should no scheduler have run.
const LOOK_BACK_DAYS: i64 = 7;
/// Pages of one day: with [`PAGE`] transactions each, more than a market of this size makes.
const MAX_PAGES: usize = 2_000;
/// Look-ups for one day; more suspects than that are no single charges' trouble.
const MAX_LOOK_UPS: usize = 1_000;

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
    #[error("our books of it changed while it was looked up")]
    Moved,
    #[error("{0} charges could not be looked up: see the warnings before this one")]
    LeftOver(usize),
    #[error("the process stops")]
    Stopping,
}

impl CompareError {
    /// Whether it is no single day's trouble. Toss's may be: of a list that is too long for it, say.
    fn concerns_every_day(&self) -> bool {
        matches!(self, CompareError::Database(_) | CompareError::Stopping)
    }

    /// Whether it is a single charge's trouble, and the next one may be looked up.
    fn concerns_one_charge(&self) -> bool {
        match self {
            CompareError::Moved => true,
            CompareError::Toss(CallError::Refused(refusal)) => {
                !refusal.is_toss_ailing() && !refusal.is_our_configuration()
            }
            _ => false,
        }
    }
}

/// What was found on one day.
#[derive(Clone, Copy, Default)]
struct Counts {
    transactions: usize,
    suspects: usize,
    differences: usize,
}

/// A day whose list was read.
struct Begun {
    counts: Counts,
    /// Those that were not looked up yet, the next one last.
    suspects: Vec<String>,
}

pub(super) async fn run(scheduler: &Scheduler) {
    let calls = match Calls::new(scheduler) {
        Ok(calls) => calls,
        Err(error) => {
            tracing::error!(%error, "days are not compared with Toss");
            return;
        }
    };
    let interval_ms = scheduler.config.scheduler.compare_interval_ms;
    let mut comparison = Comparison { scheduler, calls, books: Books::new(scheduler), begun: BTreeMap::new() };
    let mut duty =
        Duty::new(scheduler, DutyName::CompareDays, interval_ms).patient(Duration::from_millis(interval_ms) / 10);
    while duty.begins().await {
        let looked = comparison.look().await;
        if matches!(looked, Err(CompareError::Stopping)) {
            return;
        }
        duty.ended(looked).await;
    }
}

struct Comparison<'a> {
    scheduler: &'a Scheduler,
    calls: Calls<'a>,
    books: Books,
    /// Days that were begun and not ended; at most [`LOOK_BACK_DAYS`].
    begun: BTreeMap<SeoulDay, Begun>,
}

impl Comparison<'_> {
    /// Compares every day that is over and was not compared. The last day's trouble is told, once all had their turn.
    async fn look(&mut self) -> Result<Done, CompareError> {
        let last = SeoulDay::of(self.now().plus_ms(-COMPARE_AFTER_MS)).before(1);
        let compared = self.books.compared_since(last.before(LOOK_BACK_DAYS)).await?;
        let week = (0..LOOK_BACK_DAYS).rev().map(|days| last.before(days));
        let due: Vec<SeoulDay> = week.filter(|day| !compared.contains(day)).collect();
        self.begun.retain(|day, _| due.contains(day));
        let (mut days, mut trouble) = (0, None);
        for day in due {
            match self.compare_day(day).await {
                Ok(Counts { transactions, suspects, differences }) => {
                    tracing::info!(day = day.0, transactions, suspects, differences, "a day was compared with Toss");
                    days += 1;
                }
                Err(error) if error.concerns_every_day() => return Err(error),
                Err(error) => {
                    tracing::warn!(day = day.0, %error, "a day could not be compared with Toss");
                    trouble = Some(error);
                }
            }
        }
        trouble.map_or(Ok(Done::items(days)), Err)
    }

    async fn compare_day(&mut self, day: SeoulDay) -> Result<Counts, CompareError> {
        let (from, to) = (day.begins_at(), day.before(-1).begins_at());
        let mut begun = match self.begun.remove(&day) {
            Some(begun) => begun,
            None => self.begin(from, to).await?,
        };
        let judged = self.judge_all(&mut begun, to).await;
        let counts = begun.counts;
        if judged.is_err() {
            self.begun.insert(day, begun);
        }
        judged?;
        self.books.note_compared(day, &counts, self.now()).await?;
        Ok(counts)
    }

    /// Reads the day's list and holds it against our books. What only the list can tell is told at once.
    async fn begin(&self, from: UnixMs, to: UnixMs) -> Result<Begun, CompareError> {
        let (listed, transactions) = self.list(from, to).await?;
        let mut counts = Counts { transactions, ..Counts::default() };
        let mut suspects = Vec::new();
        for (order_id, listed) in &listed {
            let told = self.books.charge(order_id).await?.map(|charge| charge.told());
            let (kind, why) = match compare(*listed, told) {
                Finding::Agrees => continue,
                Finding::Suspect => {
                    suspects.push(order_id.clone());
                    continue;
                }
                Finding::OtherAmount => {
                    (Difference::OtherListed, format!("Toss's list says {} won were taken", listed.taken))
                }
                Finding::UnknownOrder => {
                    (Difference::UnknownOrder, format!("Toss took {} won for an order that is not ours", listed.taken))
                }
            };
            counts.differences += 1;
            self.books.note(order_id, kind, &why, self.now()).await?;
        }
        let moved = self.books.moved(from, to).await?;
        suspects.extend(moved.into_iter().filter(|order_id| !listed.contains_key(order_id)));
        counts.suspects = suspects.len();
        if suspects.len() > MAX_LOOK_UPS {
            return Err(CompareError::TooManySuspects(suspects.len()));
        }
        Ok(Begun { counts, suspects })
    }

    /// Looks every suspect up. Those that could not be are left, and come last the next time.
    async fn judge_all(&self, begun: &mut Begun, to: UnixMs) -> Result<(), CompareError> {
        let mut left_over = Vec::new();
        let mut trouble = None;
        while trouble.is_none()
            && let Some(order_id) = begun.suspects.pop()
        {
            match self.differs(&order_id, to).await {
                Ok(differs) => begun.counts.differences += usize::from(differs),
                Err(error) => {
                    tracing::warn!(order = order_id, %error, "a charge could not be looked up");
                    left_over.push(order_id);
                    trouble = (!error.concerns_one_charge()).then_some(error);
                }
            }
        }
        left_over.append(&mut begun.suspects);
        begun.suspects = left_over;
        match (trouble, begun.suspects.len()) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, left) => Err(CompareError::LeftOver(left)),
        }
    }

    /// What Toss lists of each order on a day, and how many transactions that were.
    async fn list(&self, from: UnixMs, to: UnixMs) -> Result<(BTreeMap<String, Listed>, usize), CompareError> {
        let mut listed: BTreeMap<String, Listed> = BTreeMap::new();
        let (mut count, mut after) = (0, None::<String>);
        for _ in 0..MAX_PAGES {
            // The end is meant with its whole second.
            let page = self.calls.page(from, to.plus_ms(-1_000), after.as_deref()).await?;
            count += page.len();
            for transaction in &page {
                let of_order = listed.entry(transaction.order_id.clone()).or_default();
                *of_order = of_order.and(status(&transaction.status), transaction.amount);
            }
            match page.last() {
                Some(last) if page.len() >= PAGE => after = Some(last.transaction_key.clone()),
                _ => return Ok((listed, count)),
            }
        }
        Err(CompareError::TooManyPages)
    }

    /// Looks a suspect up; whether it differs indeed.
    async fn differs(&self, order_id: &str, day_end: UnixMs) -> Result<bool, CompareError> {
        let Some(charge) = self.books.charge(order_id).await? else { return Ok(false) };
        let payment = self.calls.payment(charge.payment_key.as_deref(), order_id).await?;
        let (seen, now) = (payment.as_ref().map(seen), self.now());
        // A charge that is not settled a day later is held against Toss like one that has failed.
        let is_unsettled = matches!(charge.state, State::Requested | State::Confirming);
        let state = if is_unsettled { State::Failed } else { charge.state };
        let booked = Booked { state, ..charge.booked(order_id) };
        let (kind, why) = match follow(&booked, seen.as_ref(), now) {
            Verdict::Nothing | Verdict::Fail { .. } => {
                let given_back = seen.as_ref().map_or(Won::ZERO, |seen| unbooked(&booked, seen));
                if given_back <= self.books.cancelling_since(order_id, day_end).await? {
                    self.books.gone(order_id, over(&booked, seen.as_ref()), now).await?;
                    return Ok(false);
                }
                let why = format!("Toss gave {given_back} won back for refunds of ours that our books do not have");
                (Difference::GivenBack, why)
            }
            Verdict::Credit => {
                (Difference::NotCredited, format!("Toss took {} won, and nobody was credited", charge.amount))
            }
            Verdict::Reverse { amount, .. } => {
                (Difference::GivenBack, format!("Toss took {amount} won back, and they are credited still"))
            }
            Verdict::Differs { kind, why } => (kind, why),
        };
        // A refund leg that was booked between the two is no difference.
        if self.books.charge(order_id).await?.as_ref() != Some(&charge) {
            return Err(CompareError::Moved);
        }
        self.books.note(order_id, kind, &why, now).await?;
        Ok(true)
    }

    fn now(&self) -> UnixMs {
        self.scheduler.clock.now()
    }
}
