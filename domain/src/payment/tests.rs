use super::*;
use crate::retry::{self, Retry};
use contracts::topology::RETRY_LADDER_MS;
use proptest::prelude::*;

const MINUTE_MS: i64 = 60_000;
const CONFIRM_BY: UnixMs = UnixMs(10 * MINUTE_MS);
const IN_TIME: UnixMs = UnixMs(0);
const SETTLED: UnixMs = UnixMs(12 * MINUTE_MS);

fn charge(attempt: u16) -> Charge<'static> {
    Charge {
        state: if attempt == 0 { State::Requested } else { State::Confirming },
        attempt,
        is_key_spent: false,
        confirm_sent: false,
        order_id: "order-1",
        amount: Won(10_000),
        confirm_by: CONFIRM_BY,
    }
}

fn seen(status: Status) -> Observation<'static> {
    Observation::Seen(sighting(status))
}

fn sighting(status: Status) -> Sighting<'static> {
    let (total_amount, balance_amount) = (Won(10_000), Won(10_000));
    Sighting { status, order_id: "order-1", total_amount, balance_amount, currency: "KRW", failure_code: None }
}

fn refused(refusal: Refusal) -> Observation<'static> {
    Observation::Refused { refusal, code: "CODE" }
}

fn failed(code: &str) -> Step {
    Step::Fail { code: code.to_owned() }
}

#[test]
fn a_delivery_begins_with_the_present_key_unless_that_is_spent_or_it_is_too_late() {
    assert_eq!(next(&charge(0), Observation::Nothing, IN_TIME), Step::Confirm { attempt: 1 });
    assert_eq!(next(&charge(3), Observation::Nothing, IN_TIME), Step::Confirm { attempt: 3 });
    let spent = Charge { is_key_spent: true, ..charge(1) };
    assert_eq!(next(&spent, Observation::Nothing, IN_TIME), Step::LookUp);
    assert_eq!(next(&charge(0), Observation::Nothing, CONFIRM_BY), Step::LookUp);
    assert_eq!(next(&charge(1), Observation::Nothing, CONFIRM_BY.plus_ms(-1)), Step::Confirm { attempt: 1 });
}

#[test]
fn what_ended_stays_ended() {
    for state in [State::Done, State::Failed] {
        let ended = Charge { state, ..charge(1) };
        for observation in [Observation::Nothing, seen(Status::Done), refused(Refusal::Final)] {
            assert_eq!(next(&ended, observation, SETTLED), Step::Finished);
        }
    }
}

#[test]
fn only_a_done_that_is_ours_is_credited() {
    let sent = Charge { confirm_sent: true, ..charge(1) };
    assert_eq!(next(&sent, seen(Status::Done), IN_TIME), Step::Credit);
    for wrong in [
        Sighting { order_id: "order-2", ..sighting(Status::Done) },
        Sighting { total_amount: Won(9_999), ..sighting(Status::Done) },
        Sighting { currency: "USD", ..sighting(Status::Done) },
        Sighting { currency: "", ..sighting(Status::Done) },
        Sighting { total_amount: Won(9_999), ..sighting(Status::PartialCanceled) },
    ] {
        let step = next(&sent, Observation::Seen(wrong), IN_TIME);
        assert!(matches!(step, Step::Suspend { .. }), "{wrong:?} {step:?}");
    }
}

#[test]
fn what_others_cancelled_in_part_before_it_was_credited_is_credited_and_what_they_cancelled_whole_is_not() {
    let sent = Charge { confirm_sent: true, ..charge(1) };
    let partly = |left| Sighting { balance_amount: Won(left), ..sighting(Status::PartialCanceled) };
    for now in [IN_TIME, SETTLED] {
        assert_eq!(next(&sent, Observation::Seen(partly(7_000)), now), Step::Credit);
        assert_eq!(next(&sent, Observation::Seen(partly(0)), now), failed("CANCELED"));
    }
}

#[test]
fn an_error_of_unknown_outcome_is_looked_up_and_a_new_key_waits_for_the_next_delivery() {
    let sent = Charge { confirm_sent: true, is_key_spent: true, ..charge(1) };
    assert_eq!(next(&sent, refused(Refusal::Unknown), IN_TIME), Step::LookUp);
    assert_eq!(next(&sent, seen(Status::InProgress), IN_TIME), Step::Wait);
    let again = Charge { is_key_spent: true, ..charge(1) };
    assert_eq!(next(&again, seen(Status::InProgress), IN_TIME), Step::Confirm { attempt: 2 });
    assert_eq!(next(&again, seen(Status::Pending), IN_TIME), Step::Wait);
    assert_eq!(next(&again, seen(Status::InProgress), CONFIRM_BY), Step::Wait, "too late for another");
    assert_eq!(next(&again, Observation::NotFound, IN_TIME), Step::Wait, "a 404 does not show that nothing was taken");
    assert_eq!(next(&again, Observation::LookUpFailed, IN_TIME), Step::Wait);
}

#[test]
fn no_answer_keeps_its_key() {
    let sent = Charge { confirm_sent: true, ..charge(2) };
    assert_eq!(next(&sent, Observation::Unanswered, IN_TIME), Step::Wait);
    assert_eq!(next(&charge(2), Observation::Nothing, IN_TIME), Step::Confirm { attempt: 2 });
}

#[test]
fn a_final_refusal_fails_at_once_only_under_the_first_key() {
    let sent = |attempt| Charge { confirm_sent: true, ..charge(attempt) };
    assert_eq!(next(&sent(1), refused(Refusal::Final), IN_TIME), failed("CODE"));
    assert_eq!(next(&sent(2), refused(Refusal::Final), IN_TIME), Step::LookUp);
    assert_eq!(next(&sent(1), refused(Refusal::Later), IN_TIME), Step::Wait);
    assert_eq!(next(&sent(1), refused(Refusal::OurConfiguration), IN_TIME), Step::Hold);
    assert_eq!(next(&sent(1), Observation::LookUpForbidden, IN_TIME), Step::Hold);
}

#[test]
fn past_the_window_only_a_final_status_ends_it() {
    let late = charge(1);
    let almost = SETTLED.plus_ms(-1);
    let aborted = Sighting { failure_code: Some("REJECT_CARD_COMPANY"), ..sighting(Status::Aborted) };
    assert_eq!(next(&late, Observation::Seen(aborted), IN_TIME), failed("REJECT_CARD_COMPANY"));
    assert_eq!(next(&late, seen(Status::Canceled), IN_TIME), failed("CANCELED"));
    assert_eq!(next(&late, seen(Status::Expired), almost), Step::Wait);
    assert_eq!(next(&late, seen(Status::Expired), SETTLED), failed("EXPIRED"));
    assert_eq!(next(&late, Observation::NotFound, almost), Step::Wait);
    assert_eq!(next(&late, Observation::NotFound, SETTLED), failed("NOT_FOUND_PAYMENT"));
    assert_eq!(next(&late, seen(Status::Done), SETTLED), Step::Credit);
    assert_eq!(next(&late, seen(Status::InProgress), SETTLED), Step::Wait);
}

#[test]
fn every_attempt_has_a_key_of_its_own() {
    let command = CommandId::derived(contracts::UserId(1), "charge", "k");
    assert_eq!(idempotency_key(command, 2), format!("{command}-2"));
    assert!(idempotency_key(command, u16::MAX).len() <= 300);
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    LostBefore,
    LostAfter,
    /// An error of unknown outcome; whether the money was taken nevertheless, and whether only later.
    Error {
        taken: bool,
        late: bool,
    },
    Decline,
    Later,
    /// The worker dies before it stores anything of the answer.
    Crash,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        4 => Just(Trouble::None),
        2 => Just(Trouble::LostBefore),
        2 => Just(Trouble::LostAfter),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(taken, late)| Trouble::Error { taken, late }),
        1 => Just(Trouble::Decline),
        1 => Just(Trouble::Later),
        2 => Just(Trouble::Crash),
    ]
}

/// A Toss of a few lines: one payment, answers bound to keys, a window.
#[derive(Debug)]
struct Toss {
    status: Status,
    taken: u32,
    late: bool,
    bound: Vec<(u16, Observation<'static>)>,
    confirms: Vec<(UnixMs, u16)>,
    look_ups: Vec<UnixMs>,
}

impl Toss {
    fn new() -> Self {
        Self { status: Status::InProgress, taken: 0, late: false, bound: vec![], confirms: vec![], look_ups: vec![] }
    }

    /// Time passes between deliveries: what was still on its way arrives.
    fn settle(&mut self, now: UnixMs) {
        if std::mem::take(&mut self.late) {
            self.take();
        }
        if self.status == Status::InProgress && now >= CONFIRM_BY {
            self.status = Status::Expired;
        }
    }

    fn take(&mut self) {
        if self.status == Status::InProgress {
            self.status = Status::Done;
            self.taken += 1;
        }
    }

    fn confirm(&mut self, attempt: u16, now: UnixMs, trouble: Trouble) -> Observation<'static> {
        self.confirms.push((now, attempt));
        if trouble == Trouble::LostBefore {
            return Observation::Unanswered;
        }
        let bound = self.bound.iter().find(|(key, _)| *key == attempt).map(|(_, answer)| *answer);
        let answer = bound.unwrap_or_else(|| self.answer(trouble));
        if bound.is_none() {
            self.bound.push((attempt, answer));
        }
        if trouble == Trouble::LostAfter { Observation::Unanswered } else { answer }
    }

    fn answer(&mut self, trouble: Trouble) -> Observation<'static> {
        match (self.status, trouble) {
            (Status::InProgress, Trouble::Error { taken, late }) => {
                if taken && !late {
                    self.take();
                }
                self.late |= taken && late;
                refused(Refusal::Unknown)
            }
            (Status::InProgress, Trouble::Decline) => {
                self.status = Status::Aborted;
                refused(Refusal::Final)
            }
            (Status::InProgress, Trouble::Later) => refused(Refusal::Later),
            (Status::InProgress, _) => {
                self.take();
                seen(Status::Done)
            }
            (Status::Expired, _) => refused(Refusal::Final),
            (_, _) => refused(Refusal::Unknown),
        }
    }

    fn look_up(&mut self, now: UnixMs, trouble: Trouble) -> Observation<'static> {
        self.look_ups.push(now);
        match trouble {
            Trouble::LostBefore | Trouble::LostAfter | Trouble::Error { .. } => Observation::LookUpFailed,
            _ => seen(self.status),
        }
    }
}

/// Plays one charge as a worker would, up to its end or until the ladder is used up.
fn play(toss: &mut Toss, troubles: &[Trouble]) -> Option<Step> {
    let mut troubles = troubles.iter().copied().chain(std::iter::repeat(Trouble::None));
    let mut stored = charge(0);
    let (mut now, mut failures) = (IN_TIME, 0);
    loop {
        toss.settle(now);
        let (mut charge, mut observation) = (Charge { confirm_sent: false, ..stored }, Observation::Nothing);
        let step = loop {
            let trouble = troubles.next().unwrap_or(Trouble::None);
            match next(&charge, observation, now) {
                Step::Confirm { attempt } => {
                    charge =
                        Charge { state: State::Confirming, attempt, is_key_spent: false, confirm_sent: true, ..charge };
                    stored = Charge { confirm_sent: false, ..charge };
                    observation = toss.confirm(attempt, now, trouble);
                    charge.is_key_spent = matches!(observation, Observation::Refused { .. });
                }
                Step::LookUp => observation = toss.look_up(now, trouble),
                step => break step,
            }
            if trouble == Trouble::Crash {
                // Redelivered at once; not a single thing of the answer was stored.
                (charge, observation) = (stored, Observation::Nothing);
            }
        };
        if !matches!(step, Step::Wait | Step::Hold) {
            return Some(step);
        }
        stored = Charge { confirm_sent: false, ..charge };
        failures += 1;
        match retry::next(failures, &RETRY_LADDER_MS, now, Some(window(CONFIRM_BY))) {
            Retry::After { step_ms } => now = now.plus_ms(i64::from(step_ms)),
            Retry::GiveUp => return None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever goes wrong: credited exactly when taken, at most once; no key after the window; no new key without a look-up.
    #[test]
    fn money_taken_is_credited_and_money_not_taken_is_not(troubles in proptest::collection::vec(trouble(), 0..40)) {
        let mut toss = Toss::new();
        let end = play(&mut toss, &troubles);
        toss.settle(UnixMs(i64::MAX));
        match end {
            Some(Step::Credit) => prop_assert_eq!(toss.taken, 1),
            Some(Step::Fail { .. }) => prop_assert_eq!(toss.taken, 0, "{:?}", toss),
            None => prop_assert!(troubles.len() > 5, "a few troubles never use the ladder up"),
            other => prop_assert!(false, "{:?}", other),
        }
        for pair in toss.confirms.windows(2) {
            let ((_, before), (at, after)) = (pair[0], pair[1]);
            prop_assert!(after == before || after == before + 1);
            prop_assert!(after == before || toss.look_ups.contains(&at), "key {} without a look-up", after);
        }
        prop_assert!(toss.confirms.iter().all(|(at, _)| *at < CONFIRM_BY));
    }
}
