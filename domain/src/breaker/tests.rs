use super::*;
use proptest::prelude::*;

const T0: UnixMs = UnixMs(1_000_000);
const ME: ProbeId = ProbeId(1);
const OTHER: ProbeId = ProbeId(2);
const OPENED: State = State::Open { until: UnixMs(1_005_000), pause_ms: 5_000 };

fn policy() -> Policy {
    Policy::default()
}

fn after(state: State, calls: &[Tally]) -> State {
    calls.iter().fold(state, |state, call| state.after_calls(&policy(), *call, T0))
}

fn probing(now: UnixMs) -> State {
    OPENED.with_probe(&policy(), ME, now).unwrap()
}

#[test]
fn half_failed_or_slow_opens_it_for_a_pause() {
    assert_eq!(after(State::NEW, &[Tally::FAILED; 4]).phase(), Phase::Closed, "four calls say nothing");
    assert_eq!(after(State::NEW, &[Tally::FAILED; 5]), OPENED);
    assert_eq!(after(State::NEW, &[Tally::SLOW; 5]), OPENED);
    let third = [Tally::GOOD, Tally::GOOD, Tally::FAILED].repeat(100);
    assert_eq!(after(State::NEW, &third).phase(), Phase::Closed);
}

#[test]
fn calls_from_before_the_opening_say_nothing() {
    assert_eq!(after(OPENED, &[Tally::FAILED; 20]), OPENED);
    assert_eq!(after(OPENED, &[Tally::GOOD; 20]), OPENED);
    let half_open = probing(T0.plus_ms(5_000));
    assert_eq!(after(half_open, &[Tally::FAILED; 20]), half_open);
}

#[test]
fn one_probe_goes_when_the_pause_is_over_and_closes_it_step_by_step() {
    let policy = policy();
    assert_eq!(OPENED.with_probe(&policy, ME, T0.plus_ms(4_999)), None);
    let now = T0.plus_ms(5_000);
    let half_open = probing(now);
    assert_eq!(half_open.with_probe(&policy, OTHER, now.plus_ms(1)), None, "one at a time");
    assert_eq!(half_open.after_probe(&policy, OTHER, Probed::Well, now), half_open, "not the holder's");
    let ramping = half_open.after_probe(&policy, ME, Probed::Well, now);
    assert_eq!(ramping.phase(), Phase::Ramping);
    assert_eq!(after(ramping, &[Tally::GOOD; 4]).phase(), Phase::Ramping);
    assert_eq!(after(ramping, &[Tally::GOOD; 5]).phase(), Phase::Closed);
}

#[test]
fn while_it_ramps_the_first_bad_calls_open_it_again_for_longer() {
    let ramping = State::Ramping { tally: Tally::NONE, pause_ms: 5_000 };
    assert_eq!(after(ramping, &[Tally::FAILED]), State::Open { until: T0.plus_ms(10_000), pause_ms: 10_000 });
    assert_eq!(after(ramping, &[Tally::GOOD, Tally::GOOD, Tally::FAILED]).phase(), Phase::Ramping, "one of three");
    assert_eq!(after(ramping, &[Tally::GOOD, Tally::SLOW]).phase(), Phase::Open);
}

#[test]
fn failed_probes_lengthen_the_pause_to_a_limit() {
    let (mut state, mut now) = (OPENED, T0.plus_ms(5_000));
    for pause_ms in [10_000, 20_000, 40_000, 60_000, 60_000] {
        state = state.with_probe(&policy(), ME, now).unwrap().after_probe(&policy(), ME, Probed::Ill, now);
        assert_eq!(state, State::Open { until: now.plus_ms(pause_ms), pause_ms });
        now = now.plus_ms(pause_ms);
    }
}

#[test]
fn a_lost_probe_and_a_void_one_are_replaced() {
    let (policy, now) = (policy(), T0.plus_ms(5_000));
    let half_open = probing(now);
    let taken_over = half_open.with_probe(&policy, OTHER, now.plus_ms(90_000)).unwrap();
    assert_eq!(taken_over.after_probe(&policy, ME, Probed::Well, now.plus_ms(90_001)), taken_over, "the lease is lost");
    let given_back = half_open.after_probe(&policy, ME, Probed::Void, now);
    assert_eq!(given_back, State::Open { until: now, pause_ms: 5_000 });
    assert!(given_back.with_probe(&policy, OTHER, now).is_some());
}

#[test]
fn a_wait_that_the_service_asked_for_is_kept_up_to_a_limit() {
    let policy = policy();
    let wait = |state: State, ms| state.asked_to_wait(&policy, ms, T0);
    let open = |ms| State::Open { until: T0.plus_ms(ms), pause_ms: ms };
    assert_eq!(wait(State::NEW, 30_000), open(30_000));
    assert_eq!(wait(State::NEW, 1), open(5_000), "no shorter than our own pause");
    assert_eq!(wait(State::NEW, i64::MAX), open(600_000), "an absurd wish");
    assert_eq!(wait(open(60_000), 30_000), open(60_000), "what waits longer stays");
    assert_eq!(wait(OPENED, 30_000), open(30_000));
    let half_open = probing(T0.plus_ms(5_000));
    assert_eq!(half_open.after_probe(&policy, ME, Probed::AskedToWait(30_000), T0), open(30_000));
    assert_eq!(wait(State::Held, 30_000), State::Held);
}

#[test]
fn a_person_holds_it_and_lets_go() {
    assert!(!State::Held.lets_pass());
    assert_eq!(State::Held.with_probe(&policy(), ME, T0.plus_ms(1_000_000_000)), None, "nobody tries");
    assert_eq!(State::Held.shut_for_ms(&policy(), T0), 60_000);
    assert_eq!(State::Held.let_go(&policy()).phase(), Phase::Ramping);
    assert_eq!(OPENED.let_go(&policy()).phase(), Phase::Ramping);
    assert_eq!(State::NEW.let_go(&policy()), State::NEW);
}

#[test]
fn a_clock_that_is_set_back_prolongs_nothing() {
    let (policy, back) = (policy(), T0.plus_ms(-3_600_000));
    assert_eq!(OPENED.shut_for_ms(&policy, back), 5_000);
    assert_eq!(OPENED.shut_for_ms(&policy, T0.plus_ms(9_000)), 0);
    let asked = State::NEW.asked_to_wait(&policy, 300_000, T0);
    assert_eq!(asked.shut_for_ms(&policy, back), 300_000);
}

/// What may happen to a fleet of [`FLEET`] processes.
#[derive(Clone, Debug)]
enum Event {
    Time { ms: i64 },
    Calls { news: Tally },
    Asked { ms: i64 },
    Try { who: i64 },
    Heard { who: i64, went: Probed },
}

const FLEET: i64 = 4;

fn events() -> impl Strategy<Value = Vec<Event>> {
    let news = prop_oneof![Just(Tally::GOOD), Just(Tally::FAILED), Just(Tally::SLOW), Just(Tally::FAILED_LATE)];
    let went =
        prop_oneof![Just(Probed::Well), Just(Probed::Ill), Just(Probed::Void), Just(Probed::AskedToWait(45_000))];
    let event = prop_oneof![
        3 => (0_i64..40_000).prop_map(|ms| Event::Time { ms }),
        6 => news.prop_map(|news| Event::Calls { news }),
        1 => (0_i64..700_000).prop_map(|ms| Event::Asked { ms }),
        4 => (0..FLEET).prop_map(|who| Event::Try { who }),
        3 => (0..FLEET, went).prop_map(|(who, went)| Event::Heard { who, went }),
    ];
    proptest::collection::vec(event, 1..300)
}

/// A plain record of what the fleet was promised, kept beside the state.
#[derive(Default)]
struct Record {
    /// Nobody may try before.
    quiet_until: Option<UnixMs>,
    /// The probe on its way and the end of its lease.
    probe: Option<(ProbeId, UnixMs)>,
}

impl Record {
    fn tries(&mut self, who: ProbeId, passes: bool, now: UnixMs) -> Result<(), TestCaseError> {
        if !passes {
            return Ok(());
        }
        prop_assert!(self.quiet_until.is_some_and(|until| now >= until), "a probe before the pause was over");
        let alive = self.probe.is_some_and(|(_, lease_until)| now < lease_until);
        prop_assert!(!alive, "two probes at once");
        self.probe = Some((who, now.plus_ms(policy().probe_lease_ms)));
        Ok(())
    }

    /// Follows a change of the state that was not a probe's start.
    fn sees(&mut self, before: &State, state: &State) {
        if let State::Open { until, .. } = state
            && before != state
        {
            (self.quiet_until, self.probe) = (Some(*until), None);
        }
        if state.lets_pass() {
            (self.quiet_until, self.probe) = (None, None);
        }
    }
}

proptest! {
    #[test]
    fn a_fleet_never_probes_twice_at_once_nor_passes_while_it_is_open(events in events()) {
        let policy = policy();
        let (mut state, mut now, mut record) = (State::NEW, T0, Record::default());
        for event in events {
            let before = state;
            match event {
                Event::Time { ms } => now = now.plus_ms(ms),
                Event::Calls { news } => state = state.after_calls(&policy, news, now),
                Event::Asked { ms } => {
                    state = state.asked_to_wait(&policy, ms, now);
                    prop_assert!(!state.lets_pass());
                    prop_assert!(state.shut_for_ms(&policy, now) >= ms.min(policy.max_asked_ms), "it asked for more");
                }
                Event::Try { who } => {
                    let next = state.with_probe(&policy, ProbeId(who), now);
                    record.tries(ProbeId(who), next.is_some(), now)?;
                    state = next.unwrap_or(state);
                    continue;
                }
                Event::Heard { who, went } => {
                    let holds = record.probe.is_some_and(|(holder, _)| holder == ProbeId(who));
                    state = state.after_probe(&policy, ProbeId(who), went, now);
                    prop_assert!(holds || state == before, "a stranger's probe counted");
                    prop_assert!(!holds || state.lets_pass() == (went == Probed::Well));
                }
            }
            if state.lets_pass() && !before.lets_pass() {
                let by_probe = matches!(event, Event::Heard { went: Probed::Well, .. });
                prop_assert!(by_probe, "only a good probe closes it");
            }
            record.sees(&before, &state);
            if let State::Open { pause_ms, .. } = state {
                prop_assert!((policy.open_ms..=policy.max_asked_ms).contains(&pause_ms));
            }
        }
    }
}
