//! A refund's whole life: decisions, answers and repeats in any order, held against the ledger after each of them.

use super::{
    leg::{Leg, Observation, Sent, Step, next},
    *,
};
use crate::ledger::{Account, Balance, Heading, Transfer, apply};
use proptest::prelude::*;
use std::collections::BTreeMap;

const USER: UserId = UserId(5);
const BEFORE: Won = Won(10_000);
const AMOUNT: Won = Won(6_000);

#[test]
fn a_refund_is_decided_once() {
    assert_eq!(decide(State::Requested, Decision::Approve), Some(State::Paying));
    assert_eq!(decide(State::Requested, Decision::Reject), Some(State::Rejected));
    for state in State::ALL.iter().filter(|state| **state != State::Requested) {
        assert_eq!((decide(*state, Decision::Approve), decide(*state, Decision::Reject)), (None, None), "{state}");
    }
}

#[test]
fn a_payout_leg_awaits_one_transfer_and_a_suspended_cancel_leg_a_persons_word() {
    let after = |route, state, is_suspended| {
        [Transferred::Made, Transferred::Failed]
            .map(|transferred| after_transfer(route, state, is_suspended, transferred))
    };
    let ended = [Some(LegState::Paid), Some(LegState::Returned)];
    for state in LegState::ALL {
        let wanted = if *state == LegState::Planned { ended } else { [None, None] };
        assert_eq!(
            (after(Route::Payout, *state, false), after(Route::Payout, *state, true)),
            (wanted, wanted),
            "{state}"
        );
        let wanted = if *state == LegState::Executing { ended } else { [None, None] };
        assert_eq!((after(Route::Cancel, *state, false), after(Route::Cancel, *state, true)), ([None, None], wanted));
    }
}

#[test]
fn a_refund_ends_with_its_last_leg_and_says_whether_all_of_it_was_paid() {
    use LegState::{Executing, Moved, Paid, Planned, Returned};
    assert_eq!(end([Paid, Moved, Paid]), Some(State::Paid));
    assert_eq!(end([Paid, Moved, Returned]), Some(State::PartlyPaid));
    assert_eq!(end([Moved, Returned]), Some(State::Returned));
    assert_eq!((end([Paid, Planned]), end([Returned, Executing])), (None, None));
}

/// What may happen to a refund. Legs are counted from 0, whether or not there are so many.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Decided(Decision),
    Transferred(usize, Transferred),
    CancelPaid(usize),
    CancelRefused(usize),
}

fn anything() -> impl Strategy<Value = Happens> {
    let leg = 0_usize..5;
    prop_oneof![
        2 => Just(Happens::Decided(Decision::Approve)),
        1 => Just(Happens::Decided(Decision::Reject)),
        3 => leg.clone().prop_map(|leg| Happens::Transferred(leg, Transferred::Made)),
        3 => leg.clone().prop_map(|leg| Happens::Transferred(leg, Transferred::Failed)),
        2 => leg.clone().prop_map(Happens::CancelPaid),
        2 => leg.prop_map(Happens::CancelRefused),
    ]
}

/// One refund as a worker keeps it: its row, its legs, the ledger.
struct Life {
    state: State,
    legs: Vec<(Route, Won, LegState)>,
    charges: Vec<Refundable>,
    points: Balance,
    ledger: BTreeMap<Account, i64>,
}

impl Life {
    fn new(taken: &[i64]) -> Self {
        let charge = |(left, at): (&i64, i64)| Refundable {
            order_id: format!("order-{at}"),
            charged_at: UnixMs(at),
            left: Won(*left),
        };
        let points = Balance { available: BEFORE, held: Won::ZERO };
        let charges = taken.iter().zip(1..).map(charge).collect();
        let mut life = Self { state: State::Requested, legs: Vec::new(), charges, points, ledger: BTreeMap::new() };
        life.book(Transfer::refund_hold, AMOUNT);
        life
    }

    fn book(&mut self, posting: fn(Heading, UserId, Won) -> Result<Transfer, crate::ledger::TransferError>, by: Won) {
        let command = CommandId::derived(USER, "refund", "life");
        let heading = Heading { command, no: 0, reference: "refund-7".into(), at: UnixMs(1) };
        let transfer = posting(heading, USER, by).unwrap();
        apply(&mut self.points, USER, &transfer).unwrap();
        for entry in &transfer.entries {
            *self.ledger.entry(entry.account).or_default() += entry.amount.0;
        }
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Decided(decision) => self.decided(decision),
            Happens::Transferred(leg, transferred) => self.transferred(leg, transferred),
            Happens::CancelPaid(leg) if self.cancels(leg) => {
                self.book(Transfer::refund_paid_by_cancel, self.legs[leg].1);
                self.ended(leg, LegState::Paid);
            }
            Happens::CancelRefused(leg) if self.cancels(leg) => {
                self.legs.push((Route::Payout, self.legs[leg].1, LegState::Planned));
                self.ended(leg, LegState::Moved);
            }
            Happens::CancelPaid(_) | Happens::CancelRefused(_) => {}
        }
    }

    fn decided(&mut self, decision: Decision) {
        let Some(state) = decide(self.state, decision) else { return };
        self.state = state;
        if decision == Decision::Reject {
            return self.book(Transfer::refund_returned, AMOUNT);
        }
        self.legs = allocate(AMOUNT, &self.charges)
            .iter()
            .map(|leg| (if matches!(leg, NewLeg::Cancel { .. }) { Route::Cancel } else { Route::Payout }, leg.amount()))
            .map(|(route, amount)| (route, amount, LegState::Planned))
            .collect();
    }

    fn transferred(&mut self, leg: usize, transferred: Transferred) {
        let Some((route, amount, state)) = self.legs.get(leg).copied() else { return };
        let Some(state) = after_transfer(route, state, false, transferred) else { return };
        match transferred {
            Transferred::Made => self.book(Transfer::refund_paid_by_payout, amount),
            Transferred::Failed => self.book(Transfer::refund_returned, amount),
        }
        self.ended(leg, state);
    }

    /// Whether the cancel leg may still be sent, as its worker asks.
    fn cancels(&self, leg: usize) -> bool {
        let Some((Route::Cancel, amount, state)) = self.legs.get(leg).copied() else { return false };
        let leg = Leg {
            state,
            attempt: 0,
            key_since: UnixMs(0),
            is_key_spent: false,
            may_be_sent_elsewhere: false,
            sent: Sent::NotYet,
            amount,
            reason: "life",
            cancelled_before: Won::ZERO,
            charge_left: amount,
        };
        next(&leg, &Observation::Nothing, UnixMs(1)) != Step::Finished
    }

    fn ended(&mut self, leg: usize, state: LegState) {
        self.legs[leg].2 = state;
        if let Some(state) = end(self.legs.iter().map(|leg| leg.2)) {
            self.state = state;
        }
    }

    fn in_state(&self, state: LegState) -> i64 {
        self.legs.iter().filter(|leg| leg.2 == state).map(|leg| leg.1.0).sum()
    }

    fn paid_by(&self, route: Route) -> i64 {
        self.legs.iter().filter(|leg| leg.0 == route && leg.2 == LegState::Paid).map(|leg| leg.1.0).sum()
    }

    /// Every won is somewhere, and in one place.
    fn adds_up(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.ledger.values().sum::<i64>(), 0);
        let on = |account| self.ledger.get(&account).copied().unwrap_or(0);
        prop_assert_eq!(on(Account::TossClearing), self.paid_by(Route::Cancel));
        prop_assert_eq!(on(Account::PayoutClearing), self.paid_by(Route::Payout));
        prop_assert_eq!(self.points.held.0, on(Account::Held));
        let open = self.in_state(LegState::Planned) + self.in_state(LegState::Executing);
        let ended = self.in_state(LegState::Paid) + self.in_state(LegState::Returned);
        match self.state {
            State::Requested => prop_assert_eq!((self.points.held, self.legs.len()), (AMOUNT, 0)),
            State::Rejected => prop_assert_eq!((self.points.available, self.legs.len()), (BEFORE, 0)),
            State::Paying => prop_assert!(open > 0 && self.points.held.0 == open && open + ended == AMOUNT.0),
            State::Paid => prop_assert_eq!((self.in_state(LegState::Paid), open), (AMOUNT.0, 0)),
            State::Returned => prop_assert_eq!((self.points.available, open), (BEFORE, 0)),
            State::PartlyPaid => {
                let (paid, returned) = (self.in_state(LegState::Paid), self.in_state(LegState::Returned));
                prop_assert!(paid > 0 && returned > 0 && paid + returned == AMOUNT.0 && open == 0);
                prop_assert_eq!(self.points.available, Won(BEFORE.0 - paid));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_in_whatever_order_every_won_is_in_one_place(
        taken in proptest::collection::vec(0_i64..4_000, 0..3),
        happens in proptest::collection::vec(anything(), 0..40),
    ) {
        let mut life = Life::new(&taken);
        life.adds_up()?;
        for what in happens {
            let (before, points) = (life.state, life.points);
            life.happens(what);
            life.adds_up()?;
            let had_ended = !matches!(before, State::Requested | State::Paying);
            prop_assert!(!had_ended || (life.state, life.points) == (before, points), "{before} was left by {what:?}");
        }
        // And it can always be brought to an end.
        life.happens(Happens::Decided(Decision::Approve));
        (0..10).for_each(|leg| life.happens(Happens::CancelRefused(leg)));
        (0..10).for_each(|leg| life.happens(Happens::Transferred(leg, Transferred::Made)));
        life.adds_up()?;
        prop_assert!(!matches!(life.state, State::Requested | State::Paying) && life.points.held == Won::ZERO);
    }
}
