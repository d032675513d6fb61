//! What was loaded for a batch: the answer to [`super::Needs`].

use super::{
    bid::{Bid, BidState},
    claim::Claim,
    needs::Window,
};
use crate::{coupon::Coupon, ledger::Balance};
use contracts::{BarcodeHash, CouponId, PartitionId, ProductId, UnixMs, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// How far a partition has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last number that its sequence gave out.
    pub last_sequence: u64,
    /// The time of its last command. Never goes back.
    pub last_time: UnixMs,
}

/// What was loaded, all in the transaction that will write the [`super::Changes`].
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The guard rows.
    pub partitions: BTreeMap<PartitionId, Progress>,
    /// Of the products asked for, those that exist.
    pub products: BTreeSet<ProductId>,
    /// The parts of the book.
    pub windows: Vec<Window>,
    /// The bids asked for by id, in whatever state.
    pub bids: Vec<Bid>,
    /// Balances of the commanders and of [`Loaded::counterparties`]; no row means no such user.
    pub balances: BTreeMap<UserId, Balance>,
    /// Coupons asked for by id, and [`Loaded::coupons_of_bids`].
    pub coupons: Vec<Coupon>,
    /// Open bids by user and product; no row means none.
    pub open_counts: BTreeMap<(UserId, ProductId), u32>,
    /// Of the barcodes asked for, those that were offered before.
    pub claims: BTreeMap<BarcodeHash, Claim>,
}

impl Loaded {
    /// The owners of the open bids that were loaded. Their balances are to be locked together with
    /// [`super::Needs`]' users, in the order of their ids.
    pub fn counterparties(&self) -> BTreeSet<UserId> {
        self.open_bids().map(|bid| bid.user).collect()
    }

    /// The coupons that the open bids have reserved; to be loaded before the balances.
    pub fn coupons_of_bids(&self) -> BTreeSet<CouponId> {
        self.open_bids().filter_map(|bid| bid.coupon).collect()
    }

    fn open_bids(&self) -> impl Iterator<Item = &Bid> {
        let in_windows = self.windows.iter().flat_map(|window| &window.bids);
        in_windows.chain(&self.bids).filter(|bid| bid.state == BidState::Open)
    }
}
