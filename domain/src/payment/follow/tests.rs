use super::*;
use contracts::UnixMs;

mod world;

const AMOUNT: Won = Won(10_000);
const NOW: UnixMs = UnixMs(0);
const DUE: UnixMs = UnixMs(7 * 24 * 3_600_000);

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
fn a_cancel_of_ours_that_no_leg_has_booked_is_not_over() {
    let (done, ours) = (booked(State::Done), cancel(Some("Gream refund 4-1"), 2_000, Progress::Done));
    let by_hand = cancel(Some("by hand"), 3_000, Progress::Done);
    let seen_both = cancelled(&[ours, by_hand]);
    let reversed = Booked { reversed: Won(3_000), ..done };
    assert_eq!(follow(&reversed, Some(&seen_both), NOW), Verdict::Nothing);
    assert_eq!(unbooked(&reversed, &seen_both), Won(2_000));
    assert!(!over(&reversed, Some(&seen_both)).contains(&Difference::GivenBack));
    assert!(over(&reversed, Some(&seen_both)).contains(&Difference::NotTaken), "what else was told is");
    let even = Booked { refunded: Won(2_000), ..reversed };
    assert_eq!((unbooked(&even, &seen_both), over(&even, Some(&seen_both))), (Won(0), &TOLD_BY_LOOK_UP[..]));
    let failed = cancelled(&[cancel(Some("by hand"), 10_000, Progress::Done)]);
    assert_eq!(unbooked(&booked(State::Failed), &failed), Won(0), "it was never credited");
    for told_otherwise in [Difference::UnknownOrder, Difference::OtherListed] {
        assert!(!TOLD_BY_LOOK_UP.contains(&told_otherwise), "a look-up cannot tell {told_otherwise:?}");
    }
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
