//! The market in memory: what was loaded, as the commands so far have changed it.

use super::{
    bid::{Bid, BidState},
    book::Book,
    cancel,
    changes::Changes,
    claim::Claim,
    decision::{Decision, Missing, Stop, Undecided},
    loaded::{Loaded, Progress},
    needs::{Limits, partition_of},
    place::Offer,
};
use crate::{coupon::Coupon, ledger::Balance};
use contracts::{
    BarcodeHash, BidId, Command, CommandId, CouponId, Envelope, PartitionCount, PartitionId, ProductId, ResultCode,
    UnixMs, UserId, topology::Role,
};
use std::collections::{BTreeMap, BTreeSet};

/// The market, as far as a batch needs it. Made for one batch, and used up by [`Market::into_changes`].
#[derive(Debug)]
pub struct Market {
    pub(super) limits: Limits,
    partition_count: PartitionCount,
    pub(super) partitions: BTreeMap<PartitionId, Progress>,
    pub(super) products: BTreeSet<ProductId>,
    pub(super) book: Book,
    pub(super) bids: BTreeMap<BidId, Bid>,
    pub(super) placed: BTreeSet<BidId>,
    pub(super) balances: BTreeMap<UserId, Balance>,
    pub(super) coupons: BTreeMap<CouponId, Coupon>,
    pub(super) open_counts: BTreeMap<(UserId, ProductId), u32>,
    pub(super) claims: BTreeMap<BarcodeHash, Claim>,
    pub(super) changes: Changes,
    before: Before,
}

/// What was loaded, to tell what changed.
#[derive(Debug)]
struct Before {
    partitions: BTreeMap<PartitionId, Progress>,
    balances: BTreeMap<UserId, Balance>,
    coupons: BTreeMap<CouponId, Coupon>,
    claims: BTreeMap<BarcodeHash, Claim>,
}

/// The command that is being carried out.
pub(super) struct Turn {
    pub(super) command: CommandId,
    pub(super) user: UserId,
    pub(super) partition: PartitionId,
    /// The command's time.
    pub(super) at: UnixMs,
    pub(super) transfers: u16,
}

impl Market {
    /// The market as it was loaded.
    pub fn new(loaded: Loaded, partition_count: PartitionCount, limits: Limits) -> Market {
        let Loaded { partitions, products, windows, bids, balances, coupons, open_counts, claims } = loaded;
        let mut book = Book::covering(&windows);
        let bids: BTreeMap<BidId, Bid> =
            windows.into_iter().flat_map(|window| window.bids).chain(bids).map(|bid| (bid.id, bid)).collect();
        bids.values().filter(|bid| bid.state == BidState::Open).for_each(|bid| book.insert(bid));
        let coupons: BTreeMap<CouponId, Coupon> = coupons.into_iter().map(|coupon| (coupon.id, coupon)).collect();
        let before = Before {
            partitions: partitions.clone(),
            balances: balances.clone(),
            coupons: coupons.clone(),
            claims: claims.clone(),
        };
        Market {
            limits,
            partition_count,
            partitions,
            products,
            book,
            bids,
            placed: BTreeSet::new(),
            balances,
            coupons,
            open_counts,
            claims,
            changes: Changes::default(),
            before,
        }
    }

    /// Carries one command out at `now`, the worker's clock. A rejected command changes nothing, except that bids
    /// found past their deadline stay retired.
    ///
    /// # Errors
    /// When there can be no outcome; then this market is worth nothing any more.
    pub fn carry_out(&mut self, envelope: &Envelope, now: UnixMs) -> Result<Decision, Undecided> {
        match self.decide(envelope, now) {
            Ok(decision) => Ok(decision),
            Err(Stop::Rejected(code)) => Ok(Decision::rejected(code)),
            Err(Stop::Undecided(undecided)) => Err(undecided),
        }
    }

    fn decide(&mut self, envelope: &Envelope, now: UnixMs) -> Result<Decision, Stop> {
        let kind = envelope.command.kind();
        if Role::of(kind) != Role::Bid {
            return Err(Undecided::WrongRole(kind).into());
        }
        let partition = partition_of(&envelope.command, self.partition_count);
        let turn = partition.map(|partition| self.begin(envelope, partition, now)).transpose()?;
        if envelope.valid_until.is_some_and(|valid_until| now >= valid_until) {
            return Err(ResultCode::CommandExpired.into());
        }
        match turn {
            Some(mut turn) => self.rule(&mut turn, &envelope.command),
            None => Err(nowhere(&envelope.command)),
        }
    }

    fn rule(&mut self, turn: &mut Turn, command: &Command) -> Result<Decision, Stop> {
        match *command {
            Command::PlaceBuyBid { product, price, period_days, deadline, coupon } => {
                self.place_buy(turn, &Offer { product, price, period_days, deadline }, coupon)
            }
            Command::PlaceSellBid { product, price, period_days, deadline, ref picture } => {
                self.place_sell(turn, &Offer { product, price, period_days, deadline }, picture)
            }
            Command::BuyNow { product, price, coupon } => self.buy_now(turn, product, price, coupon),
            Command::SellNow { product, price, ref picture } => self.sell_now(turn, product, price, picture),
            Command::CancelBid { bid, side } => self.cancel(turn, bid, side),
            Command::ExpireBids { product, ref bids } => self.expire(turn, product, bids),
            Command::ConfirmCharge { .. }
            | Command::RequestRefund { .. }
            | Command::ApproveRefund { .. }
            | Command::RejectRefund { .. }
            | Command::CancelCharge { .. }
            | Command::ConfirmPayout { .. }
            | Command::FailPayout { .. }
            | Command::FollowPayment { .. }
            | Command::CollectDebt { .. } => Err(Undecided::WrongRole(command.kind()).into()),
        }
    }

    /// Fixes the command's time: when it was accepted, but neither far ahead of our clock nor before a command of
    /// the same partition that came first.
    fn begin(&mut self, envelope: &Envelope, partition: PartitionId, now: UnixMs) -> Result<Turn, Undecided> {
        let progress = self.partitions.get_mut(&partition);
        let progress = progress.ok_or(Undecided::NotLoaded(Missing::Partition(partition)))?;
        let accepted_at = envelope.accepted_at.min(now.plus_ms(self.limits.accepted_at_skew_ms));
        progress.last_time = progress.last_time.max(accepted_at);
        let at = progress.last_time;
        Ok(Turn { command: envelope.id, user: envelope.user, partition, at, transfers: 0 })
    }

    /// What is to be written.
    pub fn into_changes(self) -> Changes {
        let Market { mut changes, mut bids, placed, mut partitions, mut balances, coupons, claims, before, .. } = self;
        changes.bids_placed = placed.iter().filter_map(|id| bids.remove(id)).collect();
        partitions.retain(|id, progress| before.partitions.get(id) != Some(progress));
        balances.retain(|user, balance| before.balances.get(user) != Some(balance));
        let changed = coupons.into_values().filter(|coupon| before.coupons.get(&coupon.id) != Some(coupon));
        changes.coupons = changed.map(|coupon| (coupon.id, coupon.state)).collect();
        for (barcode, claim) in claims {
            match before.claims.get(&barcode) {
                None => drop(changes.claims_made.insert(barcode, claim.gifticon)),
                Some(known) if *known == claim => (),
                Some(_) => drop(changes.claims_passed_on.insert(barcode, claim.gifticon)),
            }
        }
        Changes { partitions, balances, ..changes }
    }
}

/// Why a command that no partition orders is refused. Only a cancel has no partition: when no bid of this
/// installation can have the id it names.
fn nowhere(command: &Command) -> Stop {
    match command {
        Command::CancelBid { side, .. } => cancel::not_found(*side).into(),
        other => Undecided::WrongRole(other.kind()).into(),
    }
}
