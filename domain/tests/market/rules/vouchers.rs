//! Vouchers whose barcode or end is known.

use crate::floor::*;
use contracts::{BidId, Command, Picture, ProductId, ResultCode, Side, UnixMs, UserId, Won};
use domain::market::BidState;

const OTHER: ProductId = ProductId(2);

fn floor() -> Floor {
    let mut floor = Floor::new();
    floor.database.products.insert(OTHER);
    floor
}

/// The same voucher, said to be of another product and so of another partition.
fn elsewhere(picture: Picture) -> Command {
    Command::PlaceSellBid { product: OTHER, price: Won(4_000), period_days: 1, deadline: FAR, picture }
}

#[test]
fn a_voucher_on_offer_is_not_offered_again_by_anybody_or_as_anything_else() {
    let mut floor = floor();
    floor.done(ANNA, sell_voucher(4_000, voucher(1)));
    floor.done(ANNA, buy(3_000));
    for command in [sell_voucher(4_000, voucher(1)), elsewhere(voucher(1)), sell_voucher_now(3_000, voucher(1))] {
        assert_eq!(floor.refused(BORA, command.clone()), ResultCode::GifticonAlreadyOffered);
        assert_eq!(floor.refused(ANNA, command), ResultCode::GifticonAlreadyOffered);
    }
    floor.done(BORA, sell_voucher(4_000, voucher(2)));
    assert_eq!(floor.database.claims.len(), 2);
}

#[test]
fn a_cancelled_or_expired_offer_frees_the_voucher_and_a_trade_never_does() {
    let mut floor = floor();
    let first = floor.done(ANNA, sell_voucher(4_000, voucher(1)));
    floor.done(ANNA, cancel(Side::Sell, first));
    let second = floor.done(BORA, elsewhere(voucher(1)));
    floor.clock = FAR;
    // Past its deadline, but nobody has retired it: somebody in its partition may not know the time yet.
    let later = |product| Command::PlaceSellBid {
        product,
        price: Won(4_000),
        period_days: 1,
        deadline: FAR.plus_ms(1_000),
        picture: voucher(1),
    };
    assert_eq!(floor.refused(ANNA, later(PRODUCT)), ResultCode::GifticonAlreadyOffered);
    floor.send(UserId::SYSTEM, Command::ExpireBids { product: OTHER, bids: vec![BidId(second)] });
    assert_eq!(floor.state(second), BidState::Expired);
    floor.done(ANNA, later(PRODUCT));
    floor.done(CHAN, buy_now(4_000));
    for command in [later(PRODUCT), later(OTHER)] {
        assert_eq!(floor.refused(ANNA, command), ResultCode::GifticonAlreadyOffered);
    }
}

#[test]
fn what_was_sold_at_once_is_sold_for_ever() {
    let mut floor = floor();
    floor.done(ANNA, buy(3_000));
    floor.done(BORA, sell_voucher_now(3_000, voucher(1)));
    assert_eq!(floor.refused(BORA, elsewhere(voucher(1))), ResultCode::GifticonAlreadyOffered);
}

#[test]
fn within_one_batch_the_first_one_wins_and_a_cancel_frees_for_the_next() {
    let mut floor = floor();
    let placed = floor.done(ANNA, sell_voucher(4_000, voucher(1)));
    let batch: Vec<_> = [
        (BORA, elsewhere(voucher(2))),
        (CHAN, sell_voucher(4_000, voucher(2))),
        (BORA, elsewhere(voucher(1))),
        (ANNA, cancel(Side::Sell, placed)),
        (BORA, elsewhere(voucher(1))),
        (CHAN, sell_voucher(4_000, voucher(1))),
    ]
    .map(|(user, command)| (floor.envelope(user, command), floor.clock))
    .into();
    let codes: Vec<_> = floor.database.carry_out(&batch).unwrap().into_iter().map(|decision| decision.code).collect();
    let taken = ResultCode::GifticonAlreadyOffered;
    assert_eq!(codes, [ResultCode::Ok, taken, taken, ResultCode::Ok, ResultCode::Ok, taken]);
    crate::audit::audit(&floor.database);
}

#[test]
fn a_voucher_is_sold_until_its_end_and_not_at_it() {
    let mut floor = floor();
    floor.done(ANNA, buy(3_000));
    let ending = |at: UnixMs| Picture { expires_at: Some(at), ..picture() };
    let now = floor.clock;
    assert_eq!(floor.refused(BORA, sell_voucher_now(3_000, ending(now))), ResultCode::GifticonExpired);
    assert_eq!(floor.refused(BORA, sell_voucher(4_000, ending(now))), ResultCode::GifticonExpired);
    floor.done(BORA, sell_voucher_now(3_000, ending(now.plus_ms(1))));
}

#[test]
fn vouchers_whose_barcode_nobody_could_read_are_all_different() {
    let mut floor = floor();
    floor.done(ANNA, sell(4_000));
    floor.done(ANNA, sell(4_000));
    assert!(floor.database.claims.is_empty());
}
