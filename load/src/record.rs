//! What was measured, while it is being measured.

use contracts::{CommandState, Kind, ResultCode};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Broken promises that are listed; the others are only counted.
const MAX_LISTED: usize = 20;

/// The commands of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct KindTally {
    pub(crate) done: u64,
    pub(crate) rejected: u64,
    pub(crate) discarded: u64,
    pub(crate) suspended: u64,
    /// Accepted, and no outcome within the client's patience.
    pub(crate) unresolved: u64,
    pub(crate) latencies_us: Vec<u32>,
}

impl KindTally {
    pub(crate) fn accepted(&self) -> u64 {
        self.done + self.rejected + self.discarded + self.suspended + self.unresolved
    }
}

/// All that was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kinds: BTreeMap<Kind, KindTally>,
    /// Refusals by code, of commands and of requests that never became one.
    pub(crate) refusals: BTreeMap<u32, u64>,
    /// Requests sent a second time under their key, and answered the same.
    pub(crate) repeats: u64,
    /// Requests under a used key with another body, and refused.
    pub(crate) other_bodies: u64,
    /// 503 answers, each of which was repeated after Retry-After where that is safe.
    pub(crate) not_accepted: u64,
    /// Requests that got no answer at all.
    pub(crate) unanswered: u64,
    /// Access tokens that were renewed in place.
    pub(crate) renewals: u64,
    /// Logins because neither token was good any more.
    pub(crate) logins_again: u64,
    pub(crate) broken_total: u64,
    pub(crate) broken: Vec<String>,
}

/// Where clients note what happened to them.
#[derive(Debug, Default)]
pub(crate) struct Record {
    accepted: AtomicU64,
    tally: Mutex<Tally>,
}

impl Record {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far.
    pub(crate) fn snapshot(&self) -> Tally {
        self.tally().clone()
    }

    /// Commands accepted so far, ended or not.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// A command was accepted, and this is where it stands after the client's patience.
    pub(crate) fn command(&self, kind: Kind, state: CommandState, code: u32, latency: Duration) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let mut tally = self.tally();
        if state == CommandState::Rejected {
            *tally.refusals.entry(code).or_default() += 1;
        }
        let of_kind = tally.kinds.entry(kind).or_default();
        match state {
            CommandState::Done => of_kind.done += 1,
            CommandState::Rejected => of_kind.rejected += 1,
            CommandState::Discarded => of_kind.discarded += 1,
            CommandState::Suspended => of_kind.suspended += 1,
            CommandState::Accepted | CommandState::Executing | CommandState::Retrying => of_kind.unresolved += 1,
        }
        if state.is_final() {
            of_kind.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// A request was refused before it became a command.
    pub(crate) fn refused(&self, code: u32) {
        *self.tally().refusals.entry(code).or_default() += 1;
    }

    /// Changes a plain counter.
    pub(crate) fn count(&self, counter: impl FnOnce(&mut Tally) -> &mut u64) {
        *counter(&mut self.tally()) += 1;
    }

    /// The system did not keep a promise.
    pub(crate) fn broken(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(what, "a promise to a client was broken");
        let mut tally = self.tally();
        tally.broken_total += 1;
        if tally.broken.len() < MAX_LISTED {
            tally.broken.push(what);
        }
    }

    /// Notes as broken any code but these.
    pub(crate) fn expect(&self, what: &str, code: u32, allowed: &[ResultCode]) {
        if !allowed.iter().any(|allowed| allowed.code() == code) {
            self.broken(format!("{what} was answered {code} ({})", name(code)));
        }
    }
}

/// The name of a code.
pub(crate) fn name(code: u32) -> String {
    ResultCode::from_code(code).map_or_else(|| format!("code {code}"), |code| code.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_where_it_belongs() {
        let record = Record::default();
        record.command(Kind::BuyNow, CommandState::Done, 0, Duration::from_millis(2));
        record.command(Kind::BuyNow, CommandState::Rejected, 4001, Duration::from_millis(4));
        record.command(Kind::BuyNow, CommandState::Retrying, 0, Duration::from_secs(9));
        record.refused(4001);
        let tally = record.snapshot();
        let buy_now = &tally.kinds[&Kind::BuyNow];
        assert_eq!((buy_now.accepted(), buy_now.done, buy_now.rejected, buy_now.unresolved), (3, 1, 1, 1));
        assert_eq!(buy_now.latencies_us, [2_000, 4_000]);
        assert_eq!((tally.refusals[&4001], record.accepted()), (2, 3));
    }

    #[test]
    fn what_is_not_allowed_is_a_broken_promise() {
        let record = Record::default();
        record.expect("a bid", 1007, &[ResultCode::Ok, ResultCode::NotEnoughPoints]);
        assert_eq!(record.snapshot().broken_total, 0);
        record.expect("a bid", 5002, &[ResultCode::Ok]);
        assert_eq!(record.snapshot().broken, ["a bid was answered 5002 (Unexpected)"]);
    }
}
