use super::*;
use proptest::prelude::*;

const T0: UnixMs = UnixMs(1_000_000);
const ME: ProbeId = ProbeId(1);
const OTHER: ProbeId = ProbeId(2);
const OPENED: State = State::Open { until: UnixMs(1_005_000), pause_ms: 5_000 };

pub(super) const POLICY: Policy = Policy {
    window_calls: 20,
    minimum_calls: 5,
    bad_percent: 50,
    open_ms: 5_000,
    max_open_ms: 60_000,
    max_asked_ms: 600_000,
    probe_lease_ms: 90_000,
};

fn after(state: State, calls: &[Tally]) -> State {
    calls.iter().fold(state, |state, call| state.after_calls(&POLICY, *call, T0))
}

fn probing(now: UnixMs) -> State {
    OPENED.with_probe(&POLICY, ME, now).unwrap()
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
    assert_eq!(OPENED.with_probe(&POLICY, ME, T0.plus_ms(4_999)), None);
    let now = T0.plus_ms(5_000);
    let half_open = probing(now);
    assert_eq!(half_open.with_probe(&POLICY, OTHER, now.plus_ms(1)), None, "one at a time");
    assert_eq!(half_open.after_probe(&POLICY, OTHER, Probed::Well, now), half_open, "not the holder's");
    let ramping = half_open.after_probe(&POLICY, ME, Probed::Well, now);
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
        state = state.with_probe(&POLICY, ME, now).unwrap().after_probe(&POLICY, ME, Probed::Ill, now);
        assert_eq!(state, State::Open { until: now.plus_ms(pause_ms), pause_ms });
        now = now.plus_ms(pause_ms);
    }
}

#[test]
fn a_lost_probe_and_a_void_one_are_replaced() {
    let now = T0.plus_ms(5_000);
    let half_open = probing(now);
    let taken_over = half_open.with_probe(&POLICY, OTHER, now.plus_ms(90_000)).unwrap();
    assert_eq!(taken_over.after_probe(&POLICY, ME, Probed::Well, now.plus_ms(90_001)), taken_over, "the lease is lost");
    let given_back = half_open.after_probe(&POLICY, ME, Probed::Void, now);
    assert_eq!(given_back, State::Open { until: now, pause_ms: 5_000 });
    assert!(given_back.with_probe(&POLICY, OTHER, now).is_some());
}

#[test]
fn a_wait_that_the_service_asked_for_is_kept_up_to_a_limit() {
    let wait = |state: State, ms| state.asked_to_wait(&POLICY, ms, T0);
    let open = |ms| State::Open { until: T0.plus_ms(ms), pause_ms: ms };
    assert_eq!(wait(State::NEW, 30_000), open(30_000));
    assert_eq!(wait(State::NEW, 1), open(5_000), "no shorter than our own pause");
    assert_eq!(wait(State::NEW, i64::MAX), open(600_000), "an absurd wish");
    assert_eq!(wait(open(60_000), 30_000), open(60_000), "what waits longer stays");
    assert_eq!(wait(OPENED, 30_000), open(30_000));
    let half_open = probing(T0.plus_ms(5_000));
    assert_eq!(half_open.after_probe(&POLICY, ME, Probed::AskedToWait(30_000), T0), open(30_000));
    assert_eq!(wait(State::Held, 30_000), State::Held);
}

#[test]
fn a_person_holds_it_and_lets_go() {
    assert!(!State::Held.lets_pass());
    assert_eq!(State::Held.with_probe(&POLICY, ME, T0.plus_ms(1_000_000_000)), None, "nobody tries");
    assert_eq!(State::Held.shut_for_ms(&POLICY, T0), 60_000);
    assert_eq!(State::Held.let_go(&POLICY).phase(), Phase::Ramping);
    assert_eq!(OPENED.let_go(&POLICY).phase(), Phase::Ramping);
    assert_eq!(State::NEW.let_go(&POLICY), State::NEW);
}

#[test]
fn a_clock_that_is_set_back_prolongs_nothing() {
    let back = T0.plus_ms(-3_600_000);
    assert_eq!(OPENED.shut_for_ms(&POLICY, T0.plus_ms(9_000)), 0);
    assert_eq!(OPENED.shut_for_ms(&POLICY, T0.plus_ms(-2_000)), 7_000, "another host's clock may be a little late");
    assert_eq!(OPENED.shut_for_ms(&POLICY, back), 0, "this is no host's clock: nobody knows when it would be over");
    let half_open = OPENED.with_probe(&POLICY, ME, back).unwrap();
    assert_eq!(half_open.with_probe(&POLICY, OTHER, back.plus_ms(-2_000)), None);
    assert!(half_open.with_probe(&POLICY, OTHER, back.plus_ms(-3_600_000)).is_some());
    let asked = State::NEW.asked_to_wait(&POLICY, 300_000, T0);
    assert_eq!(asked.asked_to_wait(&POLICY, 300_000, back).shut_for_ms(&POLICY, back), 300_000);
}

const FLEET: usize = 4;
/// So far apart are their clocks at most: less than [`CLOCKS_AGREE_WITHIN_MS`].
const APART_MS: i64 = 4_000;

/// What one process does, or hears.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Of calls, whenever they were made.
    Calls(Tally),
    Asked(i64),
    Try,
    /// Of its own last probe, however long ago that was.
    Heard(Probed),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Time(i64),
    /// All clocks are so far off from now on.
    Jump(i64),
    Act(usize, Act),
    Hold,
    LetGo,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let news = prop_oneof![Just(Tally::GOOD), Just(Tally::FAILED), Just(Tally::SLOW), Just(Tally::FAILED_LATE)];
    let went =
        prop_oneof![Just(Probed::Well), Just(Probed::Ill), Just(Probed::Void), Just(Probed::AskedToWait(45_000))];
    let act = prop_oneof![
        6 => news.prop_map(Act::Calls),
        1 => (0_i64..700_000).prop_map(Act::Asked),
        4 => Just(Act::Try),
        3 => went.prop_map(Act::Heard),
    ];
    let event = prop_oneof![
        30 => (0_i64..40_000).prop_map(Event::Time),
        150 => (0..FLEET, act).prop_map(|(who, act)| Event::Act(who, act)),
        2 => (-10_000_000_i64..10_000_000).prop_map(Event::Jump),
        1 => Just(Event::Hold),
        1 => Just(Event::LetGo),
    ];
    proptest::collection::vec(event, 1..300)
}

fn late() -> impl Strategy<Value = [i64; FLEET]> {
    proptest::array::uniform(0..=APART_MS)
}

/// Processes that share a state, and beside it, in real time, a plain record of what they were promised.
struct Fleet {
    state: State,
    /// Each one's last probe.
    probes: [ProbeId; FLEET],
    late_ms: [i64; FLEET],
    /// The time, as nobody knows it.
    real: UnixMs,
    off_ms: i64,
    /// Nobody may probe before. Nothing is promised once the clocks were set to another time.
    quiet_until: Option<UnixMs>,
    /// A probe may be on its way until then.
    probing_until: Option<UnixMs>,
    drawn: i64,
}

impl Fleet {
    fn new(late_ms: [i64; FLEET]) -> Self {
        let (quiet_until, probing_until) = (None, None);
        let probes = [ProbeId(0); FLEET];
        Self { state: State::NEW, probes, late_ms, real: T0, off_ms: 0, quiet_until, probing_until, drawn: 0 }
    }

    fn clock(&self, who: usize) -> UnixMs {
        self.real.plus_ms(self.off_ms - self.late_ms[who])
    }

    fn see(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Time(ms) => self.real = self.real.plus_ms(ms),
            Event::Jump(ms) => (self.off_ms, self.quiet_until, self.probing_until) = (ms, None, None),
            Event::Act(who, Act::Try) => self.try_it(who)?,
            Event::Act(who, act) => self.act(who, act)?,
            Event::Hold => self.becomes(State::Held),
            Event::LetGo => self.becomes(self.state.let_go(&POLICY)),
        }
        Ok(())
    }

    fn act(&mut self, who: usize, act: Act) -> Result<(), TestCaseError> {
        let (now, before) = (self.clock(who), self.state);
        let holds = matches!(before, State::HalfOpen { probe, .. } if probe == self.probes[who]);
        self.becomes(match act {
            Act::Calls(news) => before.after_calls(&POLICY, news, now),
            Act::Asked(ms) => before.asked_to_wait(&POLICY, ms, now),
            Act::Heard(went) => before.after_probe(&POLICY, self.probes[who], went, now),
            Act::Try => before,
        });
        let after = self.state;
        if let Act::Asked(ms) = act {
            let shut_for_ms = after.shut_for_ms(&POLICY, now);
            prop_assert!(after == State::Held || shut_for_ms >= ms.min(POLICY.max_asked_ms), "it asked for more");
        }
        if let Act::Heard(went) = act {
            prop_assert!(holds || after == before, "a stranger's probe counted");
            prop_assert!(!holds || after.lets_pass() == (went == Probed::Well));
            if holds && went == Probed::Void {
                // Its place is free at once.
                self.quiet_until = None;
            }
        }
        let closed = after.lets_pass() && !before.lets_pass();
        prop_assert!(!closed || matches!(act, Act::Heard(Probed::Well)), "only a good probe closes it");
        if let State::Open { pause_ms, .. } = after {
            prop_assert!((POLICY.open_ms..=POLICY.max_asked_ms).contains(&pause_ms));
        }
        Ok(())
    }

    fn try_it(&mut self, who: usize) -> Result<(), TestCaseError> {
        self.drawn += 1;
        let probe = ProbeId(self.drawn);
        let Some(state) = self.state.with_probe(&POLICY, probe, self.clock(who)) else { return Ok(()) };
        prop_assert!(self.quiet_until.is_none_or(|until| self.real >= until), "a probe before the pause was over");
        prop_assert!(self.probing_until.is_none_or(|until| self.real >= until), "two probes at once");
        self.becomes(state);
        self.probes[who] = probe;
        self.probing_until = Some(self.real.plus_ms(POLICY.probe_lease_ms - CLOCKS_AGREE_WITHIN_MS));
        Ok(())
    }

    fn becomes(&mut self, state: State) {
        if state == self.state {
            return;
        }
        let opened = |pause_ms| self.real.plus_ms(pause_ms - APART_MS);
        (self.quiet_until, self.probing_until) = match (self.state, state) {
            (_, State::Open { pause_ms, .. }) => (Some(opened(pause_ms)), None),
            (_, State::HalfOpen { .. }) => (self.quiet_until, self.probing_until),
            _ => (None, None),
        };
        self.state = state;
    }

    /// The service is well again, and everybody looks now and then.
    fn recovers_within(&mut self, limit_ms: i64) -> Result<(), TestCaseError> {
        const LOOK_EVERY_MS: i64 = 1_000;
        self.becomes(if self.state == State::Held { self.state.let_go(&POLICY) } else { self.state });
        for _ in 0..limit_ms / LOOK_EVERY_MS {
            self.real = self.real.plus_ms(LOOK_EVERY_MS);
            for who in 0..FLEET {
                self.try_it(who)?;
                self.act(who, Act::Heard(Probed::Well))?;
            }
        }
        prop_assert!(self.state.lets_pass(), "{:?} {limit_ms} ms after", self.state);
        Ok(())
    }
}

proptest! {
    /// Whatever is reported in whatever order, by processes whose clocks are a little apart and sometimes set to another
    /// time: one probe at a time, none before its time, and in the end it closes.
    #[test]
    fn a_fleet_probes_once_at_a_time_and_recovers(late_ms in late(), events in events()) {
        let mut fleet = Fleet::new(late_ms);
        for event in events {
            fleet.see(event)?;
        }
        fleet.recovers_within(POLICY.max_asked_ms.max(POLICY.probe_lease_ms) + 2 * CLOCKS_AGREE_WITHIN_MS)?;
    }
}
