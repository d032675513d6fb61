//! What a batch changed, to be written in the transaction that loaded it.

use super::{
    bid::{Bid, BidState, Gifticon, Order},
    loaded::Progress,
};
use crate::{
    coupon::{CouponEntry, CouponState},
    ledger::{Balance, Transfer},
};
use contracts::{BarcodeHash, BidId, CouponId, GifticonId, PartitionId, UnixMs, UserId, event::Caused};
use std::collections::BTreeMap;

/// What must be written. Nothing else changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The partitions that went on.
    pub partitions: BTreeMap<PartitionId, Progress>,
    /// New bids, as they stand at the end of the batch, by id.
    pub bids_placed: Vec<Bid>,
    /// Bids that were there before and left the book, in that order.
    pub bids_closed: Vec<(BidId, BidState, UnixMs)>,
    /// New vouchers.
    pub gifticons: Vec<Gifticon>,
    /// Barcodes that nobody had offered before.
    pub claims_made: BTreeMap<BarcodeHash, GifticonId>,
    /// Barcodes that were free again, and are now another voucher's.
    pub claims_passed_on: BTreeMap<BarcodeHash, GifticonId>,
    /// New trades.
    pub orders: Vec<Order>,
    /// Movements of points.
    pub transfers: Vec<Transfer>,
    /// Balances that differ from what was loaded.
    pub balances: BTreeMap<UserId, Balance>,
    /// Coupons whose state differs from what was loaded.
    pub coupons: BTreeMap<CouponId, CouponState>,
    /// What happened to coupons, in that order.
    pub coupon_entries: Vec<CouponEntry>,
    /// What is to be told, in the order in which it happened.
    pub events: Vec<Caused>,
}
