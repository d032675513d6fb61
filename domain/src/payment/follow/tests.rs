use super::*;
use crate::{
    ledger::{Account, Balance, Heading, Transfer, apply},
    payment::{Charge, Observation, SETTLE_MARGIN_MS, Sighting, Step, next},
    refund::cancel_reason,
};
use contracts::{CommandId, RefundId, UnixMs, UserId};
use proptest::prelude::*;

const AMOUNT: Won = Won(10_000);
const USER: UserId = UserId(7);
const NOW: UnixMs = UnixMs(0);
const DUE: UnixMs = UnixMs(7 * 24 * 3_600_000);
const CONFIRM_BY: UnixMs = UnixMs(600_000);
const SETTLED: UnixMs = UnixMs(600_000 + SETTLE_MARGIN_MS);

fn booked(state: State) -> Booked<'static> {
    Booked { state, order_id: "order-1", amount: AMOUNT, refunded: Won(0), reversed: Won(0) }
}

fn seen(status: Status) -> Seen<'static> {
    Seen {
        status,
        order_id: "order-1",
        total_amount: AMOUNT,
        balance_amount: AMOUNT,
        currency: "KRW",
        failure_code: None,
        deposit_due: Some(DUE),
        cancels: Vec::new(),
    }
}

fn cancel(reason: Option<&'static str>, amount: i64, progress: Progress) -> SeenCancel<'static> {
    SeenCancel { reason, amount: Won(amount), progress }
}

fn cancelled(cancels: &[SeenCancel<'static>]) -> Seen<'static> {
    let gone: i64 = cancels.iter().filter(|one| one.progress == Progress::Done).map(|one| one.amount.0).sum();
    let status = if gone == AMOUNT.0 { Status::Canceled } else { Status::PartialCanceled };
    Seen { balance_amount: Won(AMOUNT.0 - gone), cancels: cancels.to_vec(), ..seen(status) }
}

fn kind(verdict: &Verdict) -> Option<Difference> {
    match verdict {
        Verdict::Differs { kind, .. } => Some(*kind),
        _ => None,
    }
}

fn reverse(amount: i64, then: State) -> Verdict {
    Verdict::Reverse { amount: Won(amount), then }
}

#[test]
fn a_deposit_is_credited_when_it_came_and_closed_when_it_will_not() {
    let waiting = booked(State::AwaitingDeposit);
    assert_eq!(follow(&waiting, Some(&seen(Status::AwaitingDeposit)), NOW), Verdict::Nothing);
    assert_eq!(follow(&waiting, Some(&seen(Status::Done)), NOW), Verdict::Credit);
    let overdue = DUE.plus_ms(DEPOSIT_MARGIN_MS);
    let given_up = Verdict::Fail { code: "DEPOSIT_OVERDUE".to_owned() };
    assert_eq!(follow(&waiting, Some(&seen(Status::AwaitingDeposit)), overdue), given_up);
    let almost = overdue.plus_ms(-1);
    assert_eq!(follow(&waiting, Some(&seen(Status::AwaitingDeposit)), almost), Verdict::Nothing);
    for (status, code) in [(Status::Expired, "EXPIRED"), (Status::Canceled, "CANCELED"), (Status::Aborted, "ABORTED")] {
        assert_eq!(follow(&waiting, Some(&seen(status)), NOW), Verdict::Fail { code: code.to_owned() });
    }
    for other in [
        Seen { order_id: "order-2", ..seen(Status::Done) },
        Seen { total_amount: Won(9_999), ..seen(Status::Done) },
        Seen { currency: "USD", ..seen(Status::Done) },
    ] {
        assert_eq!(kind(&follow(&waiting, Some(&other), NOW)), Some(Difference::OtherTerms));
    }
}

#[test]
fn a_deposit_that_was_an_error_is_reversed_whole_unless_some_was_refunded() {
    let back = seen(Status::AwaitingDeposit);
    assert_eq!(follow(&booked(State::Done), Some(&back), NOW), reverse(10_000, State::AwaitingDeposit));
    let partly = Booked { reversed: Won(4_000), ..booked(State::Done) };
    assert_eq!(follow(&partly, Some(&back), NOW), reverse(6_000, State::AwaitingDeposit));
    let refunded = Booked { refunded: Won(1), ..booked(State::Done) };
    assert_eq!(kind(&follow(&refunded, Some(&back), NOW)), Some(Difference::GivenBack));
    let never_again = seen(Status::Expired);
    assert_eq!(follow(&booked(State::Done), Some(&never_again), NOW), reverse(10_000, State::AwaitingDeposit));
    let failed = Verdict::Fail { code: "EXPIRED".to_owned() };
    assert_eq!(follow(&booked(State::AwaitingDeposit), Some(&never_again), NOW), failed);
}

#[test]
fn what_others_cancelled_is_reversed_and_what_our_refunds_did_is_not() {
    let done = booked(State::Done);
    let by_hand = cancel(Some("by hand"), 3_000, Progress::Done);
    let ours = cancel(Some("Gream refund 4-1"), 2_000, Progress::Done);
    assert_eq!(follow(&done, Some(&cancelled(&[by_hand])), NOW), reverse(3_000, State::Done));
    assert_eq!(follow(&done, Some(&cancelled(&[ours])), NOW), Verdict::Nothing, "its leg books it");
    assert_eq!(follow(&done, Some(&cancelled(&[ours, by_hand])), NOW), reverse(3_000, State::Done));
    let known = Booked { refunded: Won(2_000), reversed: Won(3_000), ..done };
    assert_eq!(follow(&known, Some(&cancelled(&[ours, by_hand])), NOW), Verdict::Nothing);
    assert_eq!(
        kind(&follow(&known, Some(&cancelled(&[ours])), NOW)),
        Some(Difference::GivenBack),
        "more than they did"
    );
    assert_eq!(
        kind(&follow(&known, Some(&cancelled(&[by_hand])), NOW)),
        Some(Difference::GivenBack),
        "our refund is missing"
    );
    let nameless = cancel(None, 3_000, Progress::Done);
    assert_eq!(kind(&follow(&done, Some(&cancelled(&[nameless])), NOW)), Some(Difference::GivenBack));
    let unexplained = Seen { balance_amount: Won(1), ..seen(Status::PartialCanceled) };
    assert_eq!(kind(&follow(&done, Some(&unexplained), NOW)), Some(Difference::GivenBack));
    let pending = cancelled(&[cancel(Some("by hand"), 3_000, Progress::Pending)]);
    assert_eq!(follow(&done, Some(&pending), NOW), Verdict::Nothing, "told again once it is through");
    let whole = cancelled(&[cancel(Some("by hand"), 10_000, Progress::Done)]);
    assert_eq!(follow(&done, Some(&whole), NOW), reverse(10_000, State::Done));
}

#[test]
fn what_contradicts_our_books_is_told_and_nothing_booked() {
    for status in [Status::Pending, Status::Ready, Status::InProgress, Status::Expired, Status::Aborted] {
        let of_a_card = Seen { deposit_due: None, ..seen(status) };
        assert_eq!(
            kind(&follow(&booked(State::Done), Some(&of_a_card), NOW)),
            Some(Difference::NotTaken),
            "{status:?}"
        );
    }
    assert_eq!(kind(&follow(&booked(State::Done), None, NOW)), Some(Difference::NotTaken));
    assert_eq!(kind(&follow(&booked(State::Failed), Some(&seen(Status::Done)), NOW)), Some(Difference::NotCredited));
    let whole = cancelled(&[cancel(Some("by hand"), 10_000, Progress::Done)]);
    assert_eq!(follow(&booked(State::Failed), Some(&whole), NOW), Verdict::Nothing, "nothing is left of it");
    assert_eq!(follow(&booked(State::Failed), None, NOW), Verdict::Nothing);
    for state in [State::Requested, State::Confirming] {
        assert_eq!(
            follow(&booked(state), Some(&seen(Status::Done)), NOW),
            Verdict::Nothing,
            "its own command is at it"
        );
    }
}

/// Where the money of a virtual account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtToss {
    Waiting,
    Paid,
    Expired,
}

/// What happens, in any order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Deposit,
    DepositError,
    DueDate,
    /// Somebody cancels on Toss's own page.
    CancelByOthers(i64),
    /// One of our refunds pays a leg; it is booked at once, or after more has happened.
    Refund {
        amount: i64,
        booked_at_once: bool,
    },
    BookRefunds,
    /// The confirm's answer arrives: as things stand, or as they stood when its key was first answered.
    Confirmed {
        replayed: bool,
    },
    /// A webhook, or the scheduler: the payment is looked up.
    Hint,
    /// The same, and the look-up fails.
    LostHint,
    Spend(i64),
    Earn(i64),
    Collect,
}

fn event() -> impl Strategy<Value = Event> {
    let amount = || 1..12_000_i64;
    prop_oneof![
        3 => Just(Event::Deposit),
        2 => Just(Event::DepositError),
        1 => Just(Event::DueDate),
        2 => amount().prop_map(Event::CancelByOthers),
        2 => (amount(), any::<bool>()).prop_map(|(amount, booked_at_once)| Event::Refund { amount, booked_at_once }),
        1 => Just(Event::BookRefunds),
        2 => any::<bool>().prop_map(|replayed| Event::Confirmed { replayed }),
        6 => Just(Event::Hint),
        1 => Just(Event::LostHint),
        2 => amount().prop_map(Event::Spend),
        1 => amount().prop_map(Event::Earn),
        1 => Just(Event::Collect),
    ]
}

/// One charge at Toss and in our books, and its user's points.
struct World {
    at_toss: AtToss,
    cancels: Vec<(String, Won)>,
    state: State,
    refunded: Won,
    unbooked: Won,
    reversed: Won,
    points: Balance,
    debt: Won,
    /// The sum of every entry on `toss_clearing`.
    clearing: i64,
    /// What came from and went to elsewhere.
    elsewhere: i64,
    /// A hint that came while the charge was being confirmed is tried again, as the ladder does.
    hinted: bool,
    differs: bool,
}

impl World {
    fn new() -> Self {
        Self {
            at_toss: AtToss::Waiting,
            cancels: Vec::new(),
            state: State::Confirming,
            refunded: Won(0),
            unbooked: Won(0),
            reversed: Won(0),
            points: Balance::default(),
            debt: Won(0),
            clearing: 0,
            elsewhere: 0,
            hinted: false,
            differs: false,
        }
    }

    fn given_back(&self) -> i64 {
        self.cancels.iter().map(|(_, amount)| amount.0).sum()
    }

    fn status(&self) -> Status {
        match (self.at_toss, self.given_back()) {
            (AtToss::Waiting, 0) => Status::AwaitingDeposit,
            (AtToss::Expired, _) => Status::Expired,
            (_, 0) => Status::Done,
            (_, all) if all == AMOUNT.0 && self.cancels.len() == 1 => Status::Canceled,
            _ => Status::PartialCanceled,
        }
    }

    fn seen(&self) -> Seen<'_> {
        let cancels = self.cancels.iter().map(|(reason, amount)| SeenCancel {
            reason: Some(reason),
            amount: *amount,
            progress: Progress::Done,
        });
        Seen { balance_amount: Won(AMOUNT.0 - self.given_back()), cancels: cancels.collect(), ..seen(self.status()) }
    }

    fn cancel(&mut self, reason: String, amount: i64) -> Won {
        let left = if self.at_toss == AtToss::Paid { AMOUNT.0 - self.given_back() } else { 0 };
        let amount = Won(amount.min(left));
        if amount > Won(0) {
            self.cancels.push((reason, amount));
        }
        amount
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Deposit if self.at_toss == AtToss::Waiting => self.at_toss = AtToss::Paid,
            Event::DepositError if self.at_toss == AtToss::Paid && self.given_back() == 0 => {
                self.at_toss = AtToss::Waiting;
            }
            Event::DueDate if self.at_toss == AtToss::Waiting => self.at_toss = AtToss::Expired,
            Event::Deposit | Event::DepositError | Event::DueDate | Event::LostHint => {}
            Event::CancelByOthers(amount) => drop(self.cancel("by hand".to_owned(), amount)),
            Event::Refund { amount, booked_at_once } => self.refund(amount, booked_at_once),
            Event::BookRefunds => self.book_refunds(),
            Event::Confirmed { replayed } => self.confirmed(replayed, UnixMs(0)),
            Event::Hint => self.hint(),
            Event::Spend(amount) => {
                let amount = amount.min(self.points.available.0);
                self.points.available.0 -= amount;
                self.elsewhere -= amount;
            }
            Event::Earn(amount) => {
                self.points.available.0 += amount;
                self.elsewhere += amount;
            }
            Event::Collect => self.collect(),
        }
    }

    /// Points are held, the leg is paid at Toss, and then booked.
    fn refund(&mut self, amount: i64, booked_at_once: bool) {
        if self.state != State::Done || self.debt > Won(0) {
            return;
        }
        let amount = amount.min(self.points.available.0);
        let paid = self.cancel(cancel_reason(RefundId(1), u32::try_from(self.cancels.len()).unwrap()), amount);
        self.points.available.0 -= paid.0;
        self.points.held.0 += paid.0;
        self.unbooked.0 += paid.0;
        if booked_at_once {
            self.book_refunds();
        }
    }

    fn book_refunds(&mut self) {
        let amount = std::mem::take(&mut self.unbooked);
        if amount > Won(0) {
            self.book(&Transfer::refund_paid_by_cancel(heading(), USER, amount).unwrap());
            self.refunded.0 += amount.0;
        }
    }

    fn confirmed(&mut self, replayed: bool, now: UnixMs) {
        let charge = Charge {
            state: self.state,
            attempt: 1,
            is_key_spent: false,
            confirm_sent: true,
            order_id: "order-1",
            amount: AMOUNT,
            confirm_by: CONFIRM_BY,
        };
        let status = if replayed { Status::AwaitingDeposit } else { self.status() };
        let sighting =
            Sighting { status, order_id: "order-1", total_amount: AMOUNT, currency: "KRW", failure_code: None };
        match next(&charge, Observation::Seen(sighting), now) {
            // Where it is suspended a person decides: here, that what is left of it is credited as any other charge.
            Step::Await | Step::Suspend { .. } => self.state = State::AwaitingDeposit,
            Step::Credit => self.carry_out(Verdict::Credit),
            Step::Fail { .. } => self.state = State::Failed,
            Step::Finished | Step::Wait => return,
            other => panic!("{other:?}"),
        }
        if self.hinted {
            self.hint();
        }
    }

    fn hint(&mut self) {
        self.hinted = self.state == State::Confirming;
        // One look-up's verdicts, until there are no more.
        for _ in 0..3 {
            let seen = self.seen();
            let booked = Booked { refunded: self.refunded, reversed: self.reversed, ..booked(self.state) };
            match follow(&booked, Some(&seen), NOW) {
                Verdict::Nothing => return,
                Verdict::Differs { .. } => {
                    self.differs = true;
                    return;
                }
                verdict => self.carry_out(verdict),
            }
        }
        panic!("one look-up has more than two consequences");
    }

    fn carry_out(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Credit => {
                self.book(&Transfer::charge(heading(), USER, AMOUNT).unwrap());
                self.state = State::Done;
                self.collect();
            }
            Verdict::Reverse { amount, then } => {
                self.book(&Transfer::reversal(heading(), USER, amount, self.points.available).unwrap());
                self.reversed = if then == State::Done { Won(self.reversed.0 + amount.0) } else { Won(0) };
                self.state = then;
            }
            Verdict::Fail { .. } => self.state = State::Failed,
            Verdict::Nothing | Verdict::Differs { .. } => unreachable!(),
        }
    }

    fn collect(&mut self) {
        let amount = self.debt.min(self.points.available);
        if amount > Won(0) {
            self.book(&Transfer::repayment(heading(), USER, amount).unwrap());
        }
    }

    fn book(&mut self, transfer: &Transfer) {
        apply(&mut self.points, USER, transfer).unwrap();
        self.debt.0 += transfer.owed(USER).0;
        let clearing = transfer.entries.iter().filter(|entry| entry.account == Account::TossClearing);
        self.clearing += clearing.map(|entry| entry.amount.0).sum::<i64>();
        assert!(self.debt >= Won(0), "nobody repays more than they owe");
    }

    /// What Toss holds for the charge.
    fn held_at_toss(&self) -> i64 {
        if self.at_toss == AtToss::Paid { AMOUNT.0 - self.given_back() } else { 0 }
    }
}

fn heading() -> Heading {
    Heading { command: CommandId::derived(USER, "test", ""), no: 0, reference: "order-1".to_owned(), at: UnixMs(0) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Whatever happens in whatever order, one last look-up brings our books to what Toss holds, to the won; and at no
    /// moment is a won made from nothing, or credited that was never paid.
    #[test]
    fn any_order_ends_in_the_state_at_toss_with_the_right_ledger(events in proptest::collection::vec(event(), 0..40)) {
        let mut world = World::new();
        let mut was_paid = false;
        for event in events {
            world.happens(event);
            was_paid |= world.at_toss == AtToss::Paid;
            prop_assert!(was_paid || world.clearing == 0, "credited without a deposit");
            prop_assert!((-AMOUNT.0..=0).contains(&world.clearing));
            let points = world.points.available.0 + world.points.held.0 - world.debt.0;
            prop_assert_eq!(points, world.elsewhere - world.clearing, "points are what was credited");
        }
        world.book_refunds();
        world.confirmed(false, SETTLED);
        world.happens(Event::Hint);
        prop_assert!(!world.differs, "nothing here needs a person");
        prop_assert_eq!(-world.clearing, world.held_at_toss());
        let expected = match world.status() {
            Status::AwaitingDeposit => &[State::AwaitingDeposit][..],
            Status::Expired => &[State::Failed],
            // Given back whole before it was ever credited: nothing happened.
            _ if world.held_at_toss() == 0 => &[State::Done, State::Failed],
            _ => &[State::Done],
        };
        prop_assert!(expected.contains(&world.state), "{} while Toss says {:?}", world.state, world.status());
        let again = (world.state, world.clearing, world.points, world.debt);
        world.happens(Event::Hint);
        prop_assert_eq!(again, (world.state, world.clearing, world.points, world.debt), "a repeat changes nothing");
    }
}

#[test]
fn a_person_is_asked_only_where_a_deposit_falls_back_that_was_refunded() {
    // Toss would not take a deposit back of which a part was cancelled; if it ever does, nobody guesses.
    let mut world = World::new();
    for event in [
        Event::Deposit,
        Event::Confirmed { replayed: true },
        Event::Hint,
        Event::Refund { amount: 1_000, booked_at_once: true },
        Event::Hint,
    ] {
        world.happens(event);
        assert!(!world.differs, "{event:?}");
    }
    world.cancels.clear();
    world.at_toss = AtToss::Waiting;
    world.happens(Event::Hint);
    assert!(world.differs);
    assert_eq!((world.state, world.points.available), (State::Done, Won(9_000)), "nothing was booked");
}
