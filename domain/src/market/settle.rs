//! The small steps that the rules are made of: numbering, posting, closing and retiring.

use super::{
    bid::{Bid, BidState},
    book::Search,
    decision::{Missing, Undecided},
    needs::WindowKey,
    state::{Market, Turn},
};
use crate::{
    coupon::{CouponEntry, CouponState, CouponStep, Discount},
    ledger::{self, Heading, Transfer, TransferError},
};
use contracts::{
    BidId, CouponId, Event, OrderId, ProductId, ResultCode, UserId, Won, event::Caused, partition::id_from_sequence,
};

impl Market {
    pub(super) fn check_user_and_product(&self, turn: &Turn, product: ProductId) -> Result<(), ResultCode> {
        if !self.balances.contains_key(&turn.user) {
            return Err(ResultCode::UserNotFound);
        }
        if !self.products.contains(&product) {
            return Err(ResultCode::ProductNotFound);
        }
        Ok(())
    }

    pub(super) fn check_points(&self, user: UserId, needed: Won) -> Result<(), ResultCode> {
        let enough = self.balances.get(&user).is_some_and(|balance| balance.available >= needed);
        if enough { Ok(()) } else { Err(ResultCode::NotEnoughPoints) }
    }

    /// What `user` pays for `price` with that coupon, if they may use it.
    pub(super) fn check_coupon(&self, user: UserId, coupon: Option<CouponId>, price: Won) -> Result<Won, ResultCode> {
        let Some(id) = coupon else { return Ok(price) };
        let coupon = self.coupons.get(&id).filter(|coupon| coupon.user == user).ok_or(ResultCode::CouponNotFound)?;
        if coupon.state != CouponState::Available {
            return Err(ResultCode::CouponNotAvailable);
        }
        match coupon.discount {
            Discount::Fix(amount) if amount > price => Err(ResultCode::BadFixedDiscount),
            discount => Ok(discount.discounted(price)),
        }
    }

    /// What is paid for `price` with a coupon that was checked before.
    pub(super) fn discounted(&self, price: Won, coupon: Option<CouponId>) -> Result<Won, Undecided> {
        let Some(id) = coupon else { return Ok(price) };
        let coupon = self.coupons.get(&id).ok_or(Undecided::NotLoaded(Missing::Coupon(id)))?;
        Ok(coupon.discount.discounted(price))
    }

    /// Moves a coupon on, and notes it in the ledger of coupons.
    pub(super) fn step_coupon(
        &mut self,
        turn: &Turn,
        coupon: Option<CouponId>,
        step: CouponStep,
        reference: String,
    ) -> Result<(), Undecided> {
        let Some(id) = coupon else { return Ok(()) };
        self.coupons.get_mut(&id).ok_or(Undecided::NotLoaded(Missing::Coupon(id)))?.state = step.leads_to();
        let entry = CouponEntry { coupon: id, step, reference, command: turn.command, at: turn.at };
        self.changes.coupon_entries.push(entry);
        Ok(())
    }

    /// The next id of the command's partition.
    pub(super) fn next_id(&mut self, turn: &Turn) -> Result<u64, Undecided> {
        let progress = self.partitions.get_mut(&turn.partition);
        let progress = progress.ok_or(Undecided::NotLoaded(Missing::Partition(turn.partition)))?;
        let sequence = progress.last_sequence.saturating_add(1);
        let id = id_from_sequence(turn.partition, sequence).ok_or(Undecided::SequenceExhausted(turn.partition))?;
        progress.last_sequence = sequence;
        Ok(id)
    }

    /// Makes the command's next transfer and books it on the balances.
    pub(super) fn post(
        &mut self,
        turn: &mut Turn,
        reference: String,
        make: impl FnOnce(Heading) -> Result<Transfer, TransferError>,
    ) -> Result<(), Undecided> {
        let heading = Heading { command: turn.command, no: turn.transfers, reference, at: turn.at };
        let transfer = make(heading)?;
        turn.transfers = turn.transfers.checked_add(1).ok_or(Undecided::TooManyTransfers)?;
        for user in transfer.users() {
            let balance = self.balances.get_mut(&user).ok_or(Undecided::NotLoaded(Missing::Balance(user)))?;
            ledger::apply(balance, user, &transfer)?;
        }
        self.changes.transfers.push(transfer);
        Ok(())
    }

    pub(super) fn tell(&mut self, turn: &Turn, event: Event) {
        self.changes.events.push(Caused { command_id: turn.command, event });
    }

    /// Puts a new bid into the book.
    pub(super) fn open(&mut self, bid: Bid) {
        *self.open_counts.entry((bid.user, bid.product)).or_default() += 1;
        self.book.insert(&bid);
        self.placed.insert(bid.id);
        self.bids.insert(bid.id, bid);
    }

    /// Takes an open bid out of the book. What it held is the caller's to move.
    pub(super) fn close(&mut self, turn: &Turn, id: BidId, state: BidState) -> Result<Bid, Undecided> {
        let bid = self.bids.get_mut(&id).ok_or(Undecided::NotLoaded(Missing::Bid(id)))?;
        if bid.state != BidState::Open {
            return Err(Undecided::NotOpen(id));
        }
        bid.state = state;
        bid.closed_at = Some(turn.at);
        let bid = bid.clone();
        self.book.remove(&bid);
        if let Some(count) = self.open_counts.get_mut(&(bid.user, bid.product)) {
            *count = count.saturating_sub(1);
        }
        if !self.placed.contains(&id) {
            self.changes.bids_closed.push((id, state, turn.at));
        }
        Ok(bid)
    }

    /// Closes an open bid that was not traded, and gives its points and its coupon back.
    pub(super) fn withdraw(&mut self, turn: &mut Turn, id: BidId, state: BidState) -> Result<Bid, Undecided> {
        let bid = self.close(turn, id, state)?;
        if bid.hold != Won::ZERO {
            self.post(turn, bid_reference(id), |heading| Transfer::release(heading, bid.user, bid.hold))?;
        }
        self.step_coupon(turn, bid.coupon, CouponStep::Returned, bid_reference(id))?;
        Ok(bid)
    }

    /// Withdraws a bid whose deadline has passed.
    pub(super) fn retire(&mut self, turn: &mut Turn, id: BidId) -> Result<(), Undecided> {
        let Bid { side, product, user, .. } = self.withdraw(turn, id, BidState::Expired)?;
        self.tell(turn, Event::BidExpired { bid: id, side, product, user, at: turn.at });
        Ok(())
    }

    /// The best bid that the commander can trade with. Those past their deadline that stand before it are retired.
    pub(super) fn meet(&mut self, turn: &mut Turn, key: WindowKey, limit: Won) -> Result<Option<Bid>, Undecided> {
        let max_retired = self.limits.max_retired_per_command;
        let search = Search { key, limit, user: turn.user, at: turn.at, max_retired };
        let found = self.book.search(&search, |id| self.bids.get(&id))?;
        for id in found.expired {
            self.retire(turn, id)?;
        }
        Ok(found.counterparty.and_then(|id| self.bids.get(&id)).cloned())
    }
}

pub(super) fn bid_reference(bid: BidId) -> String {
    format!("bid:{bid}")
}

pub(super) fn order_reference(order: OrderId) -> String {
    format!("order:{order}")
}
