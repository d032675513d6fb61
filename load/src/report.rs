//! What the day was like: pure, from the measurements.

use crate::{
    acts::night::Night,
    record::{KindTally, Tally, name},
};
use contracts::{Kind, ResultCode};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Each kind of command comes at least this often in a whole day.
pub const MIN_OF_KIND: u64 = 100;
/// Each kind of refusal comes at least this often.
pub const MIN_OF_REFUSAL: u64 = 5;

/// The kinds that clients send. The others are the market's own: the audit counts them.
pub const CLIENT_KINDS: [Kind; 8] = [
    Kind::PlaceBuyBid,
    Kind::PlaceSellBid,
    Kind::BuyNow,
    Kind::SellNow,
    Kind::CancelBid,
    Kind::ConfirmCharge,
    Kind::RequestRefund,
    Kind::ApproveRefund,
];

/// The refusals that a client can provoke.
pub const REFUSALS: [ResultCode; 28] = [
    ResultCode::LoginIdTaken,
    ResultCode::NicknameTaken,
    ResultCode::UserNotFound,
    ResultCode::InvalidToken,
    ResultCode::LoginRequired,
    ResultCode::NotEnoughPoints,
    ResultCode::RefundNotFound,
    ResultCode::ProductNotFound,
    ResultCode::ProductNameTaken,
    ResultCode::BuyBidNotFound,
    ResultCode::TooManyOpenBids,
    ResultCode::SellBidNotFound,
    ResultCode::PictureNotRecognised,
    ResultCode::Forbidden,
    ResultCode::InvalidInput,
    ResultCode::KeyReused,
    ResultCode::MethodNotAllowed,
    ResultCode::BodyTooLarge,
    ResultCode::UnsupportedMediaType,
    ResultCode::PathNotFound,
    ResultCode::CommandNotFound,
    ResultCode::CouponNotFound,
    ResultCode::UnsupportedOrder,
    ResultCode::AmountNotPositive,
    ResultCode::AmountMismatch,
    ResultCode::PaymentNotFound,
    ResultCode::TossFailed,
    ResultCode::AmountTooSmall,
];

/// The refusals that need the clock to move.
pub const REFUSALS_IN_TIME: [ResultCode; 4] = [
    ResultCode::AccessTokenExpired,
    ResultCode::RefreshTokenExpired,
    ResultCode::DeadlinePassed,
    ResultCode::CommandExpired,
];

/// Commands of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindFigures {
    /// Accepted: answered 202, or with an outcome.
    pub accepted: u64,
    /// Carried out.
    pub done: u64,
    /// Refused.
    pub rejected: u64,
    /// Half of them ended sooner.
    pub p50_ms: f64,
    /// One in a hundred took longer.
    pub p99_ms: f64,
}

/// The whole day, as its clients saw it.
#[derive(Clone, Debug, Serialize)]
pub struct DayReport {
    /// What the run's names contain.
    pub run: String,
    /// The crowd's seed.
    pub seed: u64,
    /// Clients.
    pub users: u32,
    /// Products of this run.
    pub products: u32,
    /// Commands that the system accepted.
    pub accepted: u64,
    /// Of them carried out.
    pub done: u64,
    /// Of them refused.
    pub rejected: u64,
    /// Given up by an operator.
    pub discarded: u64,
    /// In a dead-letter queue when the client stopped asking.
    pub suspended: u64,
    /// Without an outcome when the client's patience ended.
    pub unresolved: u64,
    /// By kind.
    pub kinds: BTreeMap<String, KindFigures>,
    /// Refusals by reason: of commands, and of requests that never became one.
    pub refusals: BTreeMap<String, u64>,
    /// Requests sent twice under one key, and answered the same.
    pub repeats: u64,
    /// Requests under a used key with another body, and refused.
    pub other_bodies: u64,
    /// Answers 503.
    pub not_accepted: u64,
    /// Requests without any answer.
    pub unanswered: u64,
    /// Access tokens renewed in place.
    pub renewals: u64,
    /// Logins after both tokens had expired.
    pub logins_again: u64,
    /// Trades by the crowd's own lists.
    pub trades: u64,
    /// Their prices together.
    pub volume_won: i64,
    /// From the opening to the end.
    pub seconds: f64,
    /// While the market was open.
    pub open_seconds: f64,
    /// Accepted while it was open, a second.
    pub commands_a_second: f64,
    /// Over all kinds.
    pub p50_ms: f64,
    /// Over all kinds.
    pub p99_ms: f64,
    /// Each night.
    pub nights: Vec<Night>,
    /// What the system promised and did not keep: in all, and the first of it.
    pub broken_total: u64,
    /// The first of what was broken.
    pub broken: Vec<String>,
    /// What came too seldom for a whole day.
    pub too_few: Vec<String>,
}

/// What is known beside the tally.
pub(crate) struct Frame {
    pub(crate) run: String,
    pub(crate) seed: u64,
    pub(crate) users: u32,
    pub(crate) products: u32,
    pub(crate) trades: u64,
    pub(crate) volume_won: i64,
    pub(crate) took: Duration,
    pub(crate) open: Duration,
    /// Accepted while the market was open.
    pub(crate) accepted_open: u64,
    pub(crate) nights: Vec<Night>,
    pub(crate) clock_moved: bool,
}

impl DayReport {
    pub(crate) fn new(frame: Frame, tally: Tally) -> Self {
        let sum = |count: fn(&KindTally) -> u64| tally.kinds.values().map(count).sum();
        let mut all: Vec<u32> = tally.kinds.values().flat_map(|kind| &kind.latencies_us).copied().collect();
        all.sort_unstable();
        let open_seconds = frame.open.as_secs_f64();
        Self {
            too_few: too_few(&tally, frame.clock_moved),
            run: frame.run,
            seed: frame.seed,
            users: frame.users,
            products: frame.products,
            accepted: sum(KindTally::accepted),
            done: sum(|kind| kind.done),
            rejected: sum(|kind| kind.rejected),
            discarded: sum(|kind| kind.discarded),
            suspended: sum(|kind| kind.suspended),
            unresolved: sum(|kind| kind.unresolved),
            refusals: tally.refusals.iter().map(|(code, count)| (name(*code), *count)).collect(),
            repeats: tally.repeats,
            other_bodies: tally.other_bodies,
            not_accepted: tally.not_accepted,
            unanswered: tally.unanswered,
            renewals: tally.renewals,
            logins_again: tally.logins_again,
            trades: frame.trades,
            volume_won: frame.volume_won,
            seconds: frame.took.as_secs_f64(),
            open_seconds,
            commands_a_second: if open_seconds > 0.0 { as_f64(frame.accepted_open) / open_seconds } else { 0.0 },
            p50_ms: percentile_ms(&all, 50),
            p99_ms: percentile_ms(&all, 99),
            nights: frame.nights,
            broken_total: tally.broken_total,
            broken: tally.broken,
            kinds: tally.kinds.into_iter().map(|(kind, tally)| (kind.as_str().to_owned(), figures(tally))).collect(),
        }
    }

    /// Whether every promise to a client was kept, and every accepted command ended.
    pub fn promises_are_kept(&self) -> bool {
        self.broken_total == 0 && self.unresolved == 0 && self.suspended == 0
    }

    /// Whether promises were kept, and everything that belongs to a whole day came often enough.
    pub fn holds(&self) -> bool {
        self.promises_are_kept() && self.too_few.is_empty()
    }
}

fn figures(mut tally: KindTally) -> KindFigures {
    tally.latencies_us.sort_unstable();
    KindFigures {
        accepted: tally.accepted(),
        done: tally.done,
        rejected: tally.rejected,
        p50_ms: percentile_ms(&tally.latencies_us, 50),
        p99_ms: percentile_ms(&tally.latencies_us, 99),
    }
}

fn too_few(tally: &Tally, clock_moved: bool) -> Vec<String> {
    let kinds = CLIENT_KINDS.iter().filter_map(|kind| {
        let count = tally.kinds.get(kind).map_or(0, KindTally::accepted);
        (count < MIN_OF_KIND).then(|| format!("{kind}: {count} of at least {MIN_OF_KIND}"))
    });
    let in_time = REFUSALS_IN_TIME.iter().filter(|_| clock_moved);
    let refusals = REFUSALS.iter().chain(in_time).filter_map(|code| {
        let count = tally.refusals.get(&code.code()).copied().unwrap_or(0);
        (count < MIN_OF_REFUSAL).then(|| format!("refusals {}: {count} of at least {MIN_OF_REFUSAL}", code.name()))
    });
    kinds.chain(refusals).collect()
}

/// Of ascending latencies; 0 when there are none.
fn percentile_ms(ascending_us: &[u32], per_cent: usize) -> f64 {
    let index = (ascending_us.len() * per_cent / 100).min(ascending_us.len().saturating_sub(1));
    ascending_us.get(index).map_or(0.0, |us| f64::from(*us) / 1_000.0)
}

/// Counts of a day are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a day's counts are far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for DayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Market day {} (seed {}): {} clients, {} products",
            self.run, self.seed, self.users, self.products
        )?;
        writeln!(
            f,
            "  {:<16} {:>9} {:>9} {:>9} {:>10} {:>10}",
            "command", "accepted", "done", "rejected", "p50 ms", "p99 ms"
        )?;
        for (kind, figures) in &self.kinds {
            let KindFigures { accepted, done, rejected, p50_ms, p99_ms } = figures;
            writeln!(f, "  {kind:<16} {accepted:>9} {done:>9} {rejected:>9} {p50_ms:>10.1} {p99_ms:>10.1}")?;
        }
        let Self { accepted, done, rejected, p50_ms, p99_ms, .. } = self;
        writeln!(f, "  {:<16} {accepted:>9} {done:>9} {rejected:>9} {p50_ms:>10.1} {p99_ms:>10.1}", "all")?;
        writeln!(
            f,
            "  suspended {}, discarded {}, without outcome {}",
            self.suspended, self.discarded, self.unresolved
        )?;
        writeln!(
            f,
            "  {:.0} commands a second while the market was open ({:.1} s; the whole day {:.1} s)",
            self.commands_a_second, self.open_seconds, self.seconds
        )?;
        writeln!(f, "  {} trades, {} won", self.trades, self.volume_won)?;
        writeln!(
            f,
            "  sent twice and answered the same {}, another body under a used key {}, 503 {}, no answer {}",
            self.repeats, self.other_bodies, self.not_accepted, self.unanswered
        )?;
        writeln!(f, "  tokens renewed in place {}, logins again {}", self.renewals, self.logins_again)?;
        for night in &self.nights {
            writeln!(
                f,
                "  night of {} h: {} bids of watched clients ended, {} points came back, after {} ms",
                night.moved_hours, night.watched_bids, night.points_returned, night.waited_ms
            )?;
        }
        let refusals: Vec<String> = self.refusals.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(f, "  refused: {}", refusals.join(", "))?;
        for what in &self.too_few {
            writeln!(f, "  TOO FEW  {what}")?;
        }
        for what in &self.broken {
            writeln!(f, "  BROKEN   {what}")?;
        }
        let unlisted = self.broken_total.saturating_sub(self.broken.len() as u64);
        if unlisted > 0 {
            writeln!(f, "  BROKEN   and {unlisted} more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::CommandState;

    fn frame(clock_moved: bool) -> Frame {
        Frame {
            run: "abc".into(),
            seed: 1,
            users: 2,
            products: 3,
            trades: 4,
            volume_won: 5,
            took: Duration::from_secs(20),
            open: Duration::from_secs(10),
            accepted_open: 1_000,
            nights: Vec::new(),
            clock_moved,
        }
    }

    fn whole_day() -> Tally {
        let record = crate::record::Record::default();
        for kind in CLIENT_KINDS {
            for n in 1..=100 {
                record.command(kind, CommandState::Done, 0, Duration::from_millis(n));
            }
        }
        for code in REFUSALS.iter().flat_map(|code| [code; 5]) {
            record.refused(code.code());
        }
        record.snapshot()
    }

    #[test]
    fn a_whole_day_holds_and_is_summed_up() {
        let report = DayReport::new(frame(false), whole_day());
        assert!(report.holds(), "{report}");
        assert_eq!((report.accepted, report.done), (800, 800));
        assert!((report.commands_a_second - 100.0).abs() < f64::EPSILON);
        assert!((report.kinds["buy_now"].p50_ms - 51.0).abs() < f64::EPSILON);
        assert!((report.p99_ms - 100.0).abs() < f64::EPSILON);
        assert!(report.to_string().contains("KeyReused 5"));
    }

    #[test]
    fn what_came_too_seldom_or_was_broken_does_not_hold() {
        let moved = DayReport::new(frame(true), whole_day());
        assert_eq!(moved.too_few.len(), REFUSALS_IN_TIME.len());
        let mut tally = whole_day();
        tally.kinds.remove(&Kind::SellNow);
        assert_eq!(DayReport::new(frame(false), tally).too_few, ["sell_now: 0 of at least 100"]);
        let mut tally = whole_day();
        (tally.broken_total, tally.broken) = (1, vec!["a hold was lost".into()]);
        let report = DayReport::new(frame(false), tally);
        assert!(!report.holds() && report.to_string().contains("a hold was lost"));
    }

    #[test]
    fn percentiles_of_nothing_and_of_one() {
        assert!(percentile_ms(&[], 99).abs() < f64::EPSILON);
        assert!((percentile_ms(&[7_000], 99) - 7.0).abs() < f64::EPSILON);
    }
}
