//! A day's transactions at Toss against our charges: which of them must be looked into.
//!
//! Promises: a charge whose money is told alike on both sides is no suspect; whatever is told otherwise is one.
//! Most suspects are only told at another time (a deposit that was an error, a cancel after midnight): a look-up and
//! [`super::follow::follow`] tell them from differences. Doesn't: mend anything.

use super::{State, Status};
use contracts::Won;

/// What Toss lists of one order on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// How often its money was taken.
    pub times_taken: u32,
    /// How much, the last time.
    pub taken: Won,
    /// What was given back.
    pub given_back: Won,
    /// It waits for a deposit: the first one, or again, where the bank took the money back.
    pub waits: bool,
}

impl Listed {
    /// With the next of the day's transactions, in the list's order.
    #[must_use]
    pub fn and(self, status: Status, amount: Won) -> Self {
        match status {
            Status::Done => Self { times_taken: self.times_taken + 1, taken: amount, waits: false, ..self },
            Status::Canceled | Status::PartialCanceled => {
                let more = Won(amount.0.saturating_abs());
                Self { given_back: self.given_back.checked_add(more).unwrap_or(Won(i64::MAX)), ..self }
            }
            Status::AwaitingDeposit => Self { waits: true, ..self },
            _ => self,
        }
    }
}

/// The order's charge, by our books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it stands.
    pub state: State,
    /// What was asked for.
    pub amount: Won,
    /// What our refunds gave back of it, and others did.
    pub given_back: Won,
}

/// What a list says of an order, beside our books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The same.
    Agrees,
    /// Perhaps not: look the payment up.
    Suspect,
    /// Another amount than asked for: whatever a look-up says, Toss has told it.
    OtherAmount,
    /// Money for an order that we do not have.
    UnknownOrder,
}

/// Compares what Toss lists of an order (nothing, where it lists nothing that day) with its charge.
pub fn compare(listed: Listed, told: Option<Told>) -> Finding {
    let Some(told) = told else {
        return if listed.times_taken > 0 { Finding::UnknownOrder } else { Finding::Agrees };
    };
    if listed.times_taken > 0 && listed.taken != told.amount {
        return Finding::OtherAmount;
    }
    let is_done = told.state == State::Done;
    let agrees = match (is_done, listed.times_taken) {
        // Taken on another day, and given back on this one; a charge that moved and is not listed at all is suspect.
        (true, 0) => listed.given_back != Won::ZERO && listed.given_back == told.given_back,
        (true, 1) => listed.given_back == told.given_back && !listed.waits,
        (false, 0) => true,
        (_, _) => false,
    };
    if agrees { Finding::Agrees } else { Finding::Suspect }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the table below reads better")]
    fn told(state: State, given_back: i64) -> Option<Told> {
        Some(Told { state, amount: Won(1_000), given_back: Won(given_back) })
    }

    fn listed(times_taken: u32, taken: i64, given_back: i64) -> Listed {
        Listed { times_taken, taken: Won(taken), given_back: Won(given_back), waits: false }
    }

    #[test]
    fn a_deposit_that_the_bank_took_back_on_the_day_it_came_is_a_suspect() {
        use Status::{AwaitingDeposit, Canceled, Done, PartialCanceled};
        let list = |moves: &[(Status, i64)]| {
            moves.iter().fold(Listed::default(), |listed, (status, amount)| listed.and(*status, Won(*amount)))
        };
        let (issued, came) = ((AwaitingDeposit, 0), (Done, 1_000));
        let went = issued;
        for (moves, finding) in [
            (&[issued, came][..], Finding::Agrees),
            (&[issued, came, went], Finding::Suspect),
            (&[came, went], Finding::Suspect),
            (&[issued, came, went, came], Finding::Suspect),
            (&[went], Finding::Suspect),
        ] {
            assert_eq!(compare(list(moves), told(State::Done, 0)), finding, "{moves:?}");
        }
        assert_eq!(compare(list(&[issued]), told(State::AwaitingDeposit, 0)), Finding::Agrees);
        let cancels = list(&[came, (PartialCanceled, 300), (Canceled, -700)]);
        assert_eq!(cancels, listed(1, 1_000, 1_000), "whichever sign a cancel has");
    }

    #[test]
    fn what_is_told_alike_agrees_and_nothing_else_does() {
        let cases = [
            (listed(1, 1_000, 0), told(State::Done, 0), Finding::Agrees),
            (listed(1, 1_000, 300), told(State::Done, 300), Finding::Agrees),
            (listed(0, 0, 300), told(State::Done, 300), Finding::Agrees),
            (listed(0, 0, 300), told(State::Done, 500), Finding::Suspect),
            (listed(1, 1_000, 0), told(State::Done, 300), Finding::Suspect),
            (listed(0, 0, 1_000), told(State::Failed, 0), Finding::Agrees),
            (listed(0, 0, 0), None, Finding::Agrees),
            (listed(0, 0, 0), told(State::Done, 0), Finding::Suspect),
            (listed(1, 1_000, 300), told(State::Done, 0), Finding::Suspect),
            (listed(2, 1_000, 0), told(State::Done, 0), Finding::Suspect),
            (listed(1, 1_000, 0), told(State::Failed, 0), Finding::Suspect),
            (listed(1, 1_000, 0), told(State::AwaitingDeposit, 0), Finding::Suspect),
            (listed(1, 1_000, 0), told(State::Requested, 0), Finding::Suspect),
            (listed(1, 999, 0), told(State::Done, 0), Finding::OtherAmount),
            (listed(1, 1_000, 0), None, Finding::UnknownOrder),
        ];
        for (listed, told, finding) in cases {
            assert_eq!(compare(listed, told), finding, "{listed:?} {told:?}");
        }
    }
}
