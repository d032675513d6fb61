use super::{
    leg::{KEY_LIFETIME_MS, Leg, Observation, Progress, SeenCancel, Sent, Sighting, Step, next},
    *,
};
use crate::{
    payment::Refusal,
    retry::{self, Retry},
};
use contracts::topology::RETRY_LADDER_MS;
use proptest::prelude::*;

const REASON: &str = "Gream refund 7-1";
const NOW: UnixMs = UnixMs(1_000);

fn charge(order_id: &str, charged_at: i64, left: i64) -> Refundable {
    Refundable { order_id: order_id.to_owned(), charged_at: UnixMs(charged_at), left: Won(left) }
}

fn cancel_leg(order_id: &str, amount: i64) -> NewLeg {
    NewLeg::Cancel { order_id: order_id.to_owned(), amount: Won(amount) }
}

#[test]
fn the_newest_charges_are_taken_first_and_the_rest_is_paid_out() {
    let charges = [charge("old", 1, 5_000), charge("new", 9, 3_000), charge("spent", 10, 0), charge("mid", 5, 1_000)];
    assert_eq!(allocate(Won(2_000), &charges), [cancel_leg("new", 2_000)]);
    assert_eq!(allocate(Won(3_500), &charges), [cancel_leg("new", 3_000), cancel_leg("mid", 500)]);
    let all = [cancel_leg("new", 3_000), cancel_leg("mid", 1_000), cancel_leg("old", 5_000)];
    assert_eq!(allocate(Won(9_000), &charges), all);
    let more = allocate(Won(9_001), &charges);
    assert_eq!((&more[..3], &more[3]), (&all[..], &NewLeg::Payout { amount: Won(1) }));
    assert_eq!(allocate(Won(700), &[]), [NewLeg::Payout { amount: Won(700) }]);
    assert_eq!(allocate(Won(0), &charges), []);
}

proptest! {
    #[test]
    fn legs_add_up_and_no_charge_gives_more_than_it_has(
        amount in 0_i64..200_000,
        charges in proptest::collection::vec((0_i64..100, -10_i64..5_000), 0..80),
    ) {
        let charges: Vec<Refundable> =
            charges.iter().enumerate().map(|(i, (at, left))| charge(&format!("order-{i}"), *at, *left)).collect();
        let legs = allocate(Won(amount), &charges);
        prop_assert_eq!(legs.iter().map(NewLeg::amount).sum::<Won>(), Won(amount));
        prop_assert!(legs.len() <= MAX_CANCEL_LEGS + 1);
        let mut previous = UnixMs(i64::MAX);
        for (index, leg) in legs.iter().enumerate() {
            prop_assert!(leg.amount() > Won::ZERO);
            if let NewLeg::Cancel { order_id, amount } = leg {
                let charge = charges.iter().find(|charge| charge.order_id == *order_id).unwrap();
                prop_assert!(*amount <= charge.left && charge.charged_at <= previous);
                prop_assert!(index + 1 >= legs.len().min(MAX_CANCEL_LEGS) || *amount == charge.left || legs.len() == index + 1);
                previous = charge.charged_at;
            } else {
                prop_assert_eq!(index + 1, legs.len(), "one payout, at the end");
            }
        }
        let left: i64 = charges.iter().map(|charge| charge.left.0.max(0)).sum();
        let paid_out = matches!(legs.last(), Some(NewLeg::Payout { .. }));
        prop_assert!(!paid_out || left < amount || legs.len() == MAX_CANCEL_LEGS + 1);
    }
}

fn leg(attempt: u16) -> Leg<'static> {
    Leg {
        state: if attempt == 0 { LegState::Planned } else { LegState::Executing },
        attempt,
        key_since: UnixMs(0),
        is_key_spent: false,
        may_be_sent_elsewhere: false,
        sent: Sent::NotYet,
        amount: Won(1_000),
        reason: REASON,
        cancelled_before: Won(300),
        charge_left: Won(9_700),
    }
}

fn cancel(reason: &'static str, amount: i64) -> SeenCancel<'static> {
    SeenCancel { reason: Some(reason), amount: Won(amount), progress: Progress::Done }
}

/// A payment of 10,000 of which 300 was given back before, for something else.
fn seen(more: &[SeenCancel<'static>]) -> Observation<'static> {
    let cancels: Vec<_> = [cancel("Gream refund 3-1", 300)].into_iter().chain(more.iter().copied()).collect();
    let done = cancels.iter().filter(|cancel| cancel.progress == Progress::Done);
    let balance_amount = Won(10_000 - done.map(|cancel| cancel.amount.0).sum::<i64>());
    Observation::Seen(Sighting { total_amount: Won(10_000), balance_amount, cancels })
}

fn refused(refusal: Refusal) -> Observation<'static> {
    Observation::Refused { refusal, code: "CODE" }
}

fn is_suspended(step: &Step) -> bool {
    matches!(step, Step::Suspend { .. })
}

#[test]
fn a_leg_begins_with_its_key_and_keeps_it_while_nothing_is_answered() {
    assert_eq!(next(&leg(0), &Observation::Nothing, NOW), Step::Cancel { attempt: 1 });
    assert_eq!(next(&leg(2), &Observation::Nothing, NOW), Step::LookUp, "it may have been taken and never sent");
    assert_eq!(next(&leg(2), &seen(&[]), NOW), Step::Cancel { attempt: 2 });
    assert_eq!(next(&leg(2), &seen(&[cancel(REASON, 1_000)]), NOW), Step::Paid);
    let sent = Leg { sent: Sent::Once, ..leg(1) };
    assert_eq!(next(&sent, &Observation::Unanswered, NOW), Step::Wait);
    assert_eq!(next(&sent, &seen(&[cancel(REASON, 1_000)]), NOW), Step::Paid);
}

#[test]
fn a_new_key_needs_a_look_up_that_shows_no_trace() {
    let spent = Leg { is_key_spent: true, ..leg(1) };
    assert_eq!(next(&spent, &Observation::Nothing, NOW), Step::LookUp);
    assert_eq!(next(&spent, &seen(&[]), NOW), Step::Cancel { attempt: 2 });
    assert_eq!(next(&spent, &seen(&[cancel("Gream refund 7-2", 1_000)]), NOW), Step::Cancel { attempt: 2 });
    assert_eq!(next(&spent, &seen(&[cancel(REASON, 1_000)]), NOW), Step::Paid);
    assert_eq!(next(&spent, &Observation::LookUpFailed, NOW), Step::Wait);
    assert_eq!(next(&spent, &Observation::LookUpForbidden, NOW), Step::Hold);
    let contested = Leg { may_be_sent_elsewhere: true, ..spent };
    assert_eq!(next(&contested, &seen(&[]), NOW), Step::Wait, "the old key may still be sent after this look");
    let just_sent = Leg { sent: Sent::Once, ..spent };
    assert_eq!(next(&just_sent, &refused(Refusal::Unknown), NOW), Step::LookUp);
    assert_eq!(next(&just_sent, &seen(&[]), NOW), Step::Wait, "the next key waits for the next delivery");
}

#[test]
fn an_old_key_protects_no_more() {
    let old = UnixMs(KEY_LIFETIME_MS);
    assert_eq!(next(&leg(1), &Observation::Nothing, old.plus_ms(-1)), Step::Cancel { attempt: 1 });
    assert_eq!(next(&leg(1), &Observation::Nothing, old), Step::LookUp);
    assert_eq!(next(&leg(1), &seen(&[cancel(REASON, 1_000)]), old), Step::Paid);
    assert_eq!(next(&leg(1), &seen(&[]), old), Step::Cancel { attempt: 2 });
    assert_eq!(next(&leg(0), &Observation::Nothing, old), Step::Cancel { attempt: 1 }, "nothing was sent yet");
}

#[test]
fn what_does_not_add_up_is_left_to_a_person() {
    let spent = Leg { is_key_spent: true, ..leg(1) };
    assert!(is_suspended(&next(&spent, &seen(&[cancel(REASON, 999)]), NOW)), "another amount than ours");
    assert!(is_suspended(&next(&spent, &seen(&[cancel(REASON, 1_000), cancel(REASON, 1_000)]), NOW)), "twice");
    let anonymous = SeenCancel { reason: None, ..cancel("", 1_000) };
    assert!(is_suspended(&next(&spent, &seen(&[anonymous]), NOW)), "it may have been ours");
    let unlisted = Sighting { total_amount: Won(10_000), balance_amount: Won(8_700), cancels: vec![] };
    assert!(is_suspended(&next(&spent, &Observation::Seen(unlisted), NOW)));
    let as_before = Sighting { total_amount: Won(10_000), balance_amount: Won(9_700), cancels: vec![] };
    assert_eq!(next(&spent, &Observation::Seen(as_before), NOW), Step::Cancel { attempt: 2 });
}

#[test]
fn a_cancel_that_toss_still_works_on_is_waited_for_and_one_it_gave_up_never_was() {
    let spent = Leg { is_key_spent: true, ..leg(1) };
    let with = |progress| seen(&[SeenCancel { progress, ..cancel(REASON, 1_000) }]);
    assert_eq!(next(&spent, &with(Progress::Pending), NOW), Step::Wait);
    assert_eq!(next(&spent, &with(Progress::Aborted), NOW), Step::Cancel { attempt: 2 });
}

#[test]
fn a_final_refusal_moves_the_leg_only_without_a_trace() {
    let sent = |attempt| Leg { sent: Sent::Once, ..leg(attempt) };
    assert_eq!(next(&sent(1), &refused(Refusal::Final), NOW), Step::LookUp);
    assert_eq!(next(&sent(2), &refused(Refusal::Final), NOW), Step::LookUp);
    let refused_for_good = Leg { sent: Sent::AndRefused, ..leg(2) };
    assert_eq!(next(&refused_for_good, &seen(&[]), NOW), Step::Move);
    assert_eq!(next(&refused_for_good, &seen(&[cancel(REASON, 1_000)]), NOW), Step::Paid);
    assert_eq!(next(&sent(1), &refused(Refusal::OurConfiguration), NOW), Step::Hold);
    assert_eq!(next(&sent(1), &refused(Refusal::Later), NOW), Step::Wait);
    assert_eq!(next(&refused_for_good, &Observation::NoSuchPayment, NOW), Step::Move, "there is nothing to cancel");
    assert_eq!(next(&sent(1), &Observation::NoSuchPayment, NOW), Step::Wait);
}

#[test]
fn what_others_have_taken_is_paid_out_once_no_cancel_of_ours_can_go_through() {
    let gone = |attempt| Leg { charge_left: Won(999), ..leg(attempt) };
    assert_eq!(next(&gone(0), &Observation::Nothing, NOW), Step::Move, "nothing was sent");
    assert_eq!(next(&gone(1), &Observation::Nothing, NOW), Step::LookUp, "something was");
    assert_eq!(next(&gone(1), &seen(&[]), NOW), Step::Move);
    assert_eq!(next(&gone(1), &seen(&[cancel(REASON, 1_000)]), NOW), Step::Paid);
    let contested = Leg { may_be_sent_elsewhere: true, ..gone(1) };
    assert_eq!(next(&contested, &seen(&[]), NOW), Step::Wait, "it may still be sent after this look");
    let spent = Leg { is_key_spent: true, ..leg(1) };
    assert_eq!(next(&spent, &seen(&[cancel("somebody else", 9_000)]), NOW), Step::Move, "nothing is left at Toss");
}

#[test]
fn what_ended_stays_ended() {
    for state in [LegState::Paid, LegState::Moved, LegState::Returned] {
        assert_eq!(next(&Leg { state, ..leg(1) }, &Observation::Nothing, NOW), Step::Finished);
    }
}

#[test]
fn a_leg_has_one_command_and_one_reason() {
    let (user, refund) = (UserId(5), RefundId(7));
    assert_eq!(cancel_reason(refund, 1), REASON);
    assert_eq!(leg_command(user, refund, 1), leg_command(user, refund, 1));
    assert_ne!(leg_command(user, RefundId(71), 1), leg_command(user, refund, 11));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    LostBefore,
    LostAfter,
    Error { taken: bool, late: bool },
    Refusal,
    Crash,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        3 => Just(Trouble::None),
        2 => Just(Trouble::LostBefore),
        2 => Just(Trouble::LostAfter),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(taken, late)| Trouble::Error { taken, late }),
        1 => Just(Trouble::Refusal),
        2 => Just(Trouble::Crash),
    ]
}

/// A Toss of a few lines: one payment of 10,000, answers bound to keys.
#[derive(Default)]
struct Toss {
    /// Cancels of this leg that went through.
    given_back: Vec<SeenCancel<'static>>,
    late: u32,
    bound: Vec<(u16, Result<(), Refusal>)>,
    keys: Vec<(UnixMs, u16)>,
    look_ups: Vec<UnixMs>,
}

impl Toss {
    fn settle(&mut self) {
        for _ in 0..std::mem::take(&mut self.late) {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.given_back.push(cancel(REASON, 1_000));
    }

    fn cancel(&mut self, attempt: u16, now: UnixMs, trouble: Trouble) -> Observation<'static> {
        self.keys.push((now, attempt));
        if trouble == Trouble::LostBefore {
            return Observation::Unanswered;
        }
        let bound = self.bound.iter().find(|(key, _)| *key == attempt).map(|(_, answer)| *answer);
        let answer = bound.unwrap_or_else(|| {
            let answer = match trouble {
                Trouble::Error { taken, late } => {
                    (0..u32::from(taken && !late)).for_each(|_| self.give_back());
                    self.late += u32::from(taken && late);
                    Err(Refusal::Unknown)
                }
                Trouble::Refusal => Err(Refusal::Final),
                _ => {
                    self.give_back();
                    Ok(())
                }
            };
            self.bound.push((attempt, answer));
            answer
        });
        match answer {
            _ if trouble == Trouble::LostAfter => Observation::Unanswered,
            Ok(()) => seen(&self.given_back),
            Err(refusal) => refused(refusal),
        }
    }

    fn look_up(&mut self, now: UnixMs, trouble: Trouble) -> Observation<'static> {
        self.look_ups.push(now);
        match trouble {
            Trouble::LostBefore | Trouble::LostAfter | Trouble::Error { .. } => Observation::LookUpFailed,
            _ => seen(&self.given_back),
        }
    }
}

/// Plays one leg as a worker would, up to its end or until the ladder is used up.
fn play(toss: &mut Toss, troubles: &[Trouble]) -> Option<Step> {
    let mut troubles = troubles.iter().copied().chain(std::iter::repeat(Trouble::None));
    let mut stored = leg(0);
    let (mut now, mut failures) = (NOW, 0);
    loop {
        toss.settle();
        let (mut leg, mut observation) = (stored, Observation::Nothing);
        let step = loop {
            let trouble = troubles.next().unwrap_or(Trouble::None);
            match next(&leg, &observation, now) {
                Step::Cancel { attempt } => {
                    stored = Leg { state: LegState::Executing, attempt, is_key_spent: false, ..stored };
                    leg = Leg { sent: Sent::Once, ..stored };
                    observation = toss.cancel(attempt, now, trouble);
                    leg.is_key_spent = matches!(observation, Observation::Refused { .. });
                    if matches!(observation, Observation::Refused { refusal: Refusal::Final, .. }) {
                        leg.sent = Sent::AndRefused;
                    }
                }
                Step::LookUp => observation = toss.look_up(now, trouble),
                step => break step,
            }
            if trouble == Trouble::Crash {
                (leg, observation) = (stored, Observation::Nothing);
            }
        };
        if !matches!(step, Step::Wait | Step::Hold) {
            return Some(step);
        }
        stored = Leg { sent: Sent::NotYet, ..leg };
        failures += 1;
        match retry::next(failures, &RETRY_LADDER_MS, now, None) {
            Retry::After { step_ms } => now = now.plus_ms(i64::from(step_ms)),
            Retry::GiveUp => return None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever goes wrong: given back at most once, and paid or moved exactly as it was or was not.
    #[test]
    fn money_is_given_back_once_or_moved(troubles in proptest::collection::vec(trouble(), 0..30)) {
        let mut toss = Toss::default();
        let end = play(&mut toss, &troubles);
        toss.settle();
        prop_assert!(toss.given_back.len() <= 1, "given back twice");
        match end {
            Some(Step::Paid) => prop_assert_eq!(toss.given_back.len(), 1),
            Some(Step::Move) => prop_assert_eq!(toss.given_back.len(), 0),
            None => prop_assert!(troubles.len() > 4, "a few troubles never use the ladder up"),
            other => prop_assert!(false, "{:?}", other),
        }
        for pair in toss.keys.windows(2) {
            let ((_, before), (at, after)) = (pair[0], pair[1]);
            prop_assert!(after == before || (after == before + 1 && toss.look_ups.contains(&at)));
        }
    }
}
