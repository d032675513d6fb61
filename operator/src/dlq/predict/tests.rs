use super::{
    super::letter::tests::{buy, letter},
    *,
};
use contracts::{CommandId, RefundId, UserId, topology::origin};
use proptest::prelude::*;

const NOW: UnixMs = UnixMs(1_800_000_000_000);

fn partitions() -> PartitionCount {
    PartitionCount::new(4).unwrap()
}

/// A letter of `command`, accepted so long before now, on its way.
fn of(command: Command, age_ms: i64) -> Letter {
    let at = NOW.plus_ms(-age_ms);
    let id = CommandId::derived(UserId(1), "test", "k");
    let envelope = Envelope::new(id, UserId(1), at, Some(at.plus_ms(600_000)), command);
    let key = routing_key(&envelope.command, partitions()).unwrap();
    let mut letter = letter(&envelope.encode(), "out_of_attempts", "", NOW.0);
    letter.origin = Some(origin(&key));
    letter.role = Role::of(envelope.command.kind());
    letter
}

fn known() -> Facts {
    Facts { points: Some(Won(10_000)), knows_product: true, bid_is_open: true, ..Facts::default() }
}

fn title(letter: &Letter, facts: &Facts) -> String {
    predict(letter, facts, partitions(), NOW).title()
}

fn in_state(state: CommandState) -> Row {
    Row { state, fingerprint: Fingerprint([0; 32]) }
}

#[test]
fn bids_expire_and_need_user_product_and_points() {
    let now = of(buy("a").command, 0);
    assert_eq!(title(&now, &known()), "would apply");
    assert_eq!(title(&of(buy("a").command, 600_000), &known()), "would be rejected: CommandExpired");
    assert_eq!(title(&now, &Facts { points: None, ..known() }), "would be rejected: UserNotFound");
    assert_eq!(title(&now, &Facts { points: Some(Won(1)), ..known() }), "would be rejected: NotEnoughPoints");
    assert_eq!(title(&now, &Facts { knows_product: false, ..known() }), "would be rejected: ProductNotFound");
    let bid = contracts::BidId(contracts::partition::id_from_sequence(contracts::PartitionId(1), 7).unwrap());
    let cancel = of(Command::CancelBid { bid, side: Side::Sell }, 0);
    assert_eq!(title(&cancel, &known()), "would apply");
    assert_eq!(title(&cancel, &Facts { bid_is_open: false, ..known() }), "would be rejected: SellBidNotFound");
}

#[test]
fn what_a_worker_cannot_read_or_does_not_own_comes_back() {
    assert_eq!(title(&letter(b"x", "undecodable", "", 1), &known()), "would come back: undecodable");
    let mut astray = of(buy("a").command, 0);
    astray.origin = Some(origin("payment"));
    assert_eq!(title(&astray, &known()), "would come back: wrong_queue");
    astray.origin = None;
    assert_eq!(title(&astray, &known()), "would apply", "the relay finds the way by the command");
    // An edit mends both.
    let revised = || Some(letter_envelope());
    astray.origin = Some(origin("payment"));
    assert_eq!(title(&astray, &Facts { revision: revised(), ..known() }), "would apply");
    assert_eq!(title(&letter(b"x", "undecodable", "", 1), &Facts { revision: revised(), ..known() }), "would apply");
}

fn letter_envelope() -> Envelope {
    of(buy("a").command, 0).content().unwrap()
}

const CONFIRM_BY: UnixMs = UnixMs(NOW.0 + 60_000);

fn charge(state: payment::State) -> ChargeFacts {
    ChargeFacts {
        is_own: true,
        is_this_commands: true,
        state,
        amount: Won(1_000),
        payment_key: Some("p".into()),
        attempt: 1,
        is_key_spent: false,
        confirm_by: Some(CONFIRM_BY),
    }
}

#[test]
fn a_charge_is_sent_under_its_key_looked_up_or_refused_as_the_worker_would() {
    let confirm = |confirm_by| Command::ConfirmCharge {
        order_id: "order-1".into(),
        payment_key: "p".into(),
        amount: Won(1_000),
        confirm_by,
    };
    let told = |charge: Option<ChargeFacts>, confirm_by: UnixMs| {
        title(&of(confirm(confirm_by), 0), &Facts { charge, row: Some(in_state(CommandState::Suspended)), ..known() })
    };
    let confirming = charge(payment::State::Confirming);
    assert_eq!(told(None, CONFIRM_BY), "would be rejected: PaymentNotFound");
    assert_eq!(told(Some(confirming.clone()), CONFIRM_BY), "would apply");
    let spent = ChargeFacts { is_key_spent: true, ..confirming.clone() };
    assert_eq!(told(Some(spent), CONFIRM_BY), "needs a look-up at Toss");
    let late = ChargeFacts { confirm_by: Some(NOW), ..confirming.clone() };
    assert_eq!(told(Some(late), CONFIRM_BY), "needs a look-up at Toss", "an edited window does not count");
    assert_eq!(told(Some(charge(payment::State::Requested)), NOW), "needs a look-up at Toss");
    let other = ChargeFacts { payment_key: Some("q".into()), ..confirming.clone() };
    assert_eq!(told(Some(other), CONFIRM_BY), "would come back: needs_a_person");
    let dearer = ChargeFacts { amount: Won(2_000), ..confirming.clone() };
    assert_eq!(told(Some(dearer), CONFIRM_BY), "would be rejected: AmountMismatch");
    for ended in [payment::State::Done, payment::State::Failed, payment::State::AwaitingDeposit] {
        assert_eq!(told(Some(charge(ended)), CONFIRM_BY), "would be rejected: PaymentNotFound");
    }
    let anothers = ChargeFacts { is_this_commands: false, ..confirming };
    assert_eq!(told(Some(anothers), CONFIRM_BY), "would be rejected: PaymentNotFound");
}

#[test]
fn a_cancel_is_looked_up_when_no_key_protects_it() {
    let leg = LegFacts {
        route: Route::Cancel,
        state: LegState::Executing,
        amount: Won(500),
        attempt: 1,
        key_since: NOW,
        is_key_spent: false,
        charge_left: Won(500),
    };
    let letter = of(Command::CancelCharge { refund: RefundId(1), leg: 1 }, 0);
    let told = |leg| title(&letter, &Facts { leg, row: Some(in_state(CommandState::Suspended)), ..known() });
    assert_eq!(told(Some(leg)), "would apply");
    assert_eq!(told(Some(LegFacts { key_since: NOW.plus_ms(-KEY_LIFETIME_MS), ..leg })), "needs a look-up at Toss");
    assert_eq!(told(Some(LegFacts { is_key_spent: true, ..leg })), "needs a look-up at Toss");
    assert_eq!(told(Some(LegFacts { charge_left: Won(1), ..leg })), "needs a look-up at Toss");
    assert_eq!(told(Some(LegFacts { state: LegState::Moved, ..leg })), "would be rejected: TossFailed");
    assert_eq!(told(None), "would be rejected: RefundNotFound");
}

#[test]
fn a_wish_for_a_refund_is_refused_when_it_is_old_and_a_transfer_is_told_however_late() {
    let payout = Command::ConfirmPayout { refund: RefundId(1), leg: 1 };
    let leg = LegFacts {
        route: Route::Payout,
        state: LegState::Planned,
        amount: Won(500),
        attempt: 0,
        key_since: NOW,
        is_key_spent: false,
        charge_left: Won::ZERO,
    };
    let mut letter = of(payout, 2 * KEY_LIFETIME_MS);
    let mut envelope = letter.content().unwrap();
    envelope.valid_until = None;
    letter.body = envelope.encode();
    assert_eq!(title(&letter, &Facts { leg: Some(leg), ..known() }), "would apply");
    assert_eq!(title(&letter, &known()), "would be rejected: RefundNotFound");
    let approve = of(Command::ApproveRefund { refund: RefundId(1) }, 0);
    assert_eq!(title(&approve, &Facts { refund: Some(refund::State::Requested), ..known() }), "would apply");
    assert_eq!(title(&approve, &known()), "would be rejected: RefundNotFound");
    let old = of(Command::ApproveRefund { refund: RefundId(1) }, KEY_LIFETIME_MS);
    assert_eq!(
        title(&old, &Facts { refund: Some(refund::State::Requested), ..known() }),
        "would be rejected: CommandExpired"
    );
}

proptest! {
    /// Whatever else is known.
    #[test]
    fn what_has_ended_is_told_as_ended(state in 0_usize..3, points: Option<i64>, garbage: bool, age_ms in 0_i64..2_000_000) {
        let state = [CommandState::Done, CommandState::Rejected, CommandState::Discarded][state];
        let facts = Facts { row: Some(in_state(state)), points: points.map(Won), ..known() };
        let letter = if garbage { letter(b"x", "undecodable", "", 1) } else { of(buy("a").command, age_ms) };
        prop_assert_eq!(predict(&letter, &facts, partitions(), NOW), Prediction::AlreadyEnded { state });
    }

    /// A confirm is never said to be sent after its window, whatever the letter claims.
    #[test]
    fn nothing_is_sent_after_the_window(claimed in -100_i64..100, stored in -100_i64..100, spent: bool, first: bool) {
        let state = if first { payment::State::Requested } else { payment::State::Confirming };
        let row = ChargeFacts { is_key_spent: spent, confirm_by: Some(NOW.plus_ms(stored)), ..charge(state) };
        let command = Command::ConfirmCharge {
            order_id: "order-1".into(), payment_key: "p".into(), amount: Won(1_000), confirm_by: NOW.plus_ms(claimed),
        };
        let facts = Facts { charge: Some(row), row: Some(in_state(CommandState::Suspended)), ..known() };
        let sends = matches!(predict(&of(command, 0), &facts, partitions(), NOW), Prediction::WouldApply { .. });
        let is_open = if first { claimed > 0 } else { stored > 0 && !spent };
        prop_assert_eq!(sends, is_open);
    }
}

#[test]
fn an_event_is_booked_and_what_is_none_comes_back() {
    let event = contracts::Event::GifticonExpiring {
        gifticon: contracts::GifticonId(1),
        product: contracts::ProductId(2),
        user: UserId(3),
        expires_at: NOW,
        at: NOW,
    };
    let caused = Caused { command_id: CommandId::derived(UserId(1), "test", "k"), event };
    let of = |body: &[u8]| {
        let mut letter = letter(body, "out_of_attempts", "", NOW.0);
        letter.role = Role::Notifier;
        title(&letter, &Facts::default())
    };
    assert_eq!(of(&serde_json::to_vec(&caused).unwrap()), "would apply");
    assert_eq!(of(b"nonsense"), "would come back: undecodable");
}
