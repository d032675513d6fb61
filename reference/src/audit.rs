//! What must hold whatever was asked: the books balance, and nothing is held, offered or reserved twice.

use crate::database::Database;
use contracts::{BidId, CouponId, GifticonId, Side, UserId};
use domain::{
    ledger::{Account, Reason},
    market::{Bid, BidState, CouponState, CouponStep, Order},
};
use std::collections::{BTreeMap, BTreeSet};

/// Panics with what is wrong.
pub fn audit(database: &Database) {
    transfers_balance(database);
    balances_are_their_entries(database);
    held_is_what_open_bids_hold(database);
    orders_fit_their_bids(database);
    coupons_follow_their_bids(database);
    coupons_stand_where_their_ledger_ends(database);
    vouchers_are_offered_once(database);
}

fn transfers_balance(database: &Database) {
    let mut seen = BTreeSet::new();
    for transfer in &database.transfers {
        assert_eq!(transfer.entries.iter().map(|entry| entry.amount.0).sum::<i64>(), 0, "{transfer:?}");
        for entry in &transfer.entries {
            assert_ne!(entry.amount.0, 0, "{transfer:?}");
            assert_eq!(entry.user == UserId::SYSTEM, !entry.account.of_balance(), "{transfer:?}");
            assert!(seen.insert((transfer.command, transfer.no, entry.account, entry.user)), "{transfer:?} repeats");
        }
    }
    // Numbered from 0 without gaps, command by command.
    let mut counts: BTreeMap<_, u16> = BTreeMap::new();
    for transfer in &database.transfers {
        let next = counts.entry(transfer.command).or_default();
        assert_eq!(transfer.no, *next, "{transfer:?}");
        *next += 1;
    }
}

fn balances_are_their_entries(database: &Database) {
    for (user, balance) in &database.balances {
        let sum = |account| -> i64 {
            let entries = database.transfers.iter().flat_map(|transfer| &transfer.entries);
            entries.filter(|entry| entry.user == *user && entry.account == account).map(|entry| entry.amount.0).sum()
        };
        assert_eq!(balance.available.0, database.opening[user].0 + sum(Account::Available), "{user}");
        assert_eq!(balance.held.0, sum(Account::Held), "{user}");
        assert!(balance.available.0 >= 0 && balance.held.0 >= 0, "{user} {balance:?}");
    }
    // What the market gave for coupons came back as what sellers got and fees.
    let traded = database.transfers.iter().filter(|transfer| transfer.reason == Reason::Trade).count();
    assert_eq!(traded, database.orders.len());
    let fees: i64 = database.orders.iter().map(|order| order.fee.0).sum();
    let discounts: i64 = database.orders.iter().map(|order| order.price.0 - order.final_price.0).sum();
    assert_eq!(database.system(Account::Fee), fees);
    assert_eq!(database.system(Account::CouponCost), -discounts);
}

fn held_is_what_open_bids_hold(database: &Database) {
    for (user, balance) in &database.balances {
        let held: i64 = open(database).filter(|bid| bid.user == *user).map(|bid| bid.hold.0).sum();
        assert_eq!(balance.held.0, held, "{user}");
    }
    for bid in database.bids.values() {
        assert_eq!(bid.closed_at.is_none(), bid.state == BidState::Open, "{bid:?}");
        assert_eq!(bid.gifticon.is_some(), bid.side == Side::Sell, "{bid:?}");
        assert!(bid.side == Side::Buy || (bid.hold.0 == 0 && bid.coupon.is_none()), "{bid:?}");
    }
}

fn orders_fit_their_bids(database: &Database) {
    let mut gifticons: BTreeSet<GifticonId> = BTreeSet::new();
    let mut bids: BTreeSet<BidId> = BTreeSet::new();
    for order in &database.orders {
        assert_ne!(order.buyer, order.seller, "{order:?}");
        assert!(gifticons.insert(order.gifticon), "{order:?} sells a gifticon again");
        let gifticon = database.gifticons.iter().find(|gifticon| gifticon.id == order.gifticon).unwrap();
        assert_eq!((gifticon.owner, gifticon.product), (order.seller, order.product), "{order:?}");
        assert!(order.buy_bid.is_some() || order.sell_bid.is_some(), "{order:?}");
        for (bid, user) in [(order.buy_bid, order.buyer), (order.sell_bid, order.seller)] {
            let Some(bid) = bid.map(|bid| &database.bids[&bid]) else { continue };
            assert!(bids.insert(bid.id), "{order:?} takes a bid again");
            assert_eq!((bid.state, bid.closed_at), (BidState::Traded, Some(order.traded_at)), "{order:?}");
            assert_eq!((bid.user, bid.product), (user, order.product), "{order:?}");
            assert!(bid.deadline > order.traded_at, "{order:?} came after the deadline of {bid:?}");
            assert!(if bid.side == Side::Buy { order.price <= bid.price } else { order.price >= bid.price });
        }
    }
    let traded: BTreeSet<BidId> =
        database.bids.values().filter(|bid| bid.state == BidState::Traded).map(|bid| bid.id).collect();
    assert_eq!(traded, bids, "every traded bid has its order");
    let ids = database.gifticons.iter().map(|gifticon| gifticon.id).collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), database.gifticons.len(), "gifticon ids repeat");
    let ids = database.orders.iter().map(|order| order.id).collect::<BTreeSet<_>>();
    assert_eq!(ids.len(), database.orders.len(), "order ids repeat");
}

fn coupons_follow_their_bids(database: &Database) {
    for coupon in database.coupons.values() {
        let with = |bid: &&Bid| bid.coupon == Some(coupon.id);
        let used = database.orders.iter().filter(|order: &&Order| order.coupon == Some(coupon.id)).count();
        let reserved = open(database).filter(with).count();
        assert_eq!((reserved, used), expected_uses(coupon.state), "{coupon:?}");
        let owner_of = |id: CouponId| database.coupons[&id].user;
        assert!(open(database).filter(with).all(|bid| owner_of(coupon.id) == bid.user), "{coupon:?}");
    }
}

/// The ledger of coupons leads each from its grant to where it stands, by steps that follow each other.
fn coupons_stand_where_their_ledger_ends(database: &Database) {
    for coupon in database.coupons.values() {
        let mut state = CouponState::Available;
        for entry in database.coupon_entries.iter().filter(|entry| entry.coupon == coupon.id) {
            let from = match entry.step {
                CouponStep::Reserved => &[CouponState::Available][..],
                CouponStep::Returned => &[CouponState::Reserved],
                CouponStep::Used => &[CouponState::Available, CouponState::Reserved],
                CouponStep::Granted => &[],
            };
            assert!(from.contains(&state), "{entry:?} of a coupon that was {state}");
            state = entry.step.leads_to();
        }
        assert_eq!(state, coupon.state, "{coupon:?}");
    }
}

/// Those on offer or sold differ in their barcodes, and each has the claim to its own.
fn vouchers_are_offered_once(database: &Database) {
    let mut live = BTreeSet::new();
    for gifticon in &database.gifticons {
        let Some(barcode) = gifticon.picture.barcode else { continue };
        let counts = |bid: BidId| matches!(database.bids[&bid].state, BidState::Open | BidState::Traded);
        if gifticon.bid.is_none_or(counts) {
            assert!(live.insert(barcode), "{gifticon:?} is offered twice");
            assert_eq!(database.claims.get(&barcode), Some(&gifticon.id), "{gifticon:?}");
        }
    }
    for (barcode, claimed) in &database.claims {
        let gifticon = database.gifticons.iter().find(|gifticon| gifticon.id == *claimed).unwrap();
        assert_eq!(gifticon.picture.barcode, Some(*barcode), "{gifticon:?}");
    }
}

fn expected_uses(state: CouponState) -> (usize, usize) {
    match state {
        CouponState::Available => (0, 0),
        CouponState::Reserved => (1, 0),
        CouponState::Used => (0, 1),
    }
}

fn open(database: &Database) -> impl Iterator<Item = &Bid> {
    database.bids.values().filter(|bid| bid.state == BidState::Open)
}
