//! What must be loaded, and locked, before a batch can be carried out.

use super::bid::Bid;
use contracts::{
    BarcodeHash, BidId, Command, CouponId, Envelope, PartitionCount, PartitionId, ProductId, Side, UserId, Won,
    topology::Role,
};
use std::collections::{BTreeMap, BTreeSet};

/// The market's limits; from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open bids, of both sides, that one user may have on one product.
    pub max_open_bids_per_user_and_product: u32,
    /// Bids past their deadline that one command retires on its way to a counterparty.
    pub max_retired_per_command: usize,
    /// How far a command's accepted-at may lie ahead of the worker's clock.
    pub accepted_at_skew_ms: i64,
    /// What the market keeps of a price.
    pub fee_per_mille: u32,
    /// The lowest price of a bid.
    pub min_price: Won,
    /// The highest price of a bid.
    pub max_price: Won,
    /// The longest period of a bid.
    pub max_period_days: u32,
    /// Rows that a window has beyond those that the batch can consume: room for the user's own bids, and for bids
    /// past their deadline.
    pub window_slack: u32,
}

/// Which open bids of one side must be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKey {
    /// From the best price down, for the bids of the other side that are being placed.
    Crossing {
        /// Of which product.
        product: ProductId,
        /// The side of the bids that are loaded.
        side: Side,
    },
    /// Those at one price, oldest first, for trades at once.
    Level {
        /// Of which product.
        product: ProductId,
        /// The side of the bids that are loaded.
        side: Side,
        /// At exactly this price.
        price: Won,
    },
}

impl WindowKey {
    /// Of which product.
    pub fn product(&self) -> ProductId {
        match self {
            WindowKey::Crossing { product, .. } | WindowKey::Level { product, .. } => *product,
        }
    }

    /// The side of the bids that are loaded.
    pub fn side(&self) -> Side {
        match self {
            WindowKey::Crossing { side, .. } | WindowKey::Level { side, .. } => *side,
        }
    }
}

/// How much of a window must be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowNeed {
    /// The worst price that could match: the highest of sell bids, the lowest of buy bids.
    pub limit_price: Won,
    /// This many, best first.
    pub rows: u32,
}

/// The best open bids of a window, as loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which.
    pub key: WindowKey,
    /// How much was asked for.
    pub need: WindowNeed,
    /// Best first: by price (sell bids ascending, buy bids descending), then by id. Fewer than `need.rows` means
    /// that the database has no more of them within `need.limit_price`.
    pub bids: Vec<Bid>,
}

/// What a batch of envelopes needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Guard rows, to be locked first.
    pub partitions: BTreeSet<PartitionId>,
    /// Products whose existence matters.
    pub products: BTreeSet<ProductId>,
    /// Those who gave the commands: their balances, together with [`super::Loaded::counterparties`].
    pub users: BTreeSet<UserId>,
    /// Bids named by id, in whatever state.
    pub bids: BTreeSet<BidId>,
    /// Coupons named by id, together with [`super::Loaded::coupons_of_bids`].
    pub coupons: BTreeSet<CouponId>,
    /// How many open bids these users have on these products. No row counts as none.
    pub open_counts: BTreeSet<(UserId, ProductId)>,
    /// Barcodes of vouchers that are offered: their claims are to be locked before coupons and balances, in order.
    pub barcodes: BTreeSet<BarcodeHash>,
    /// Parts of the book.
    pub windows: BTreeMap<WindowKey, WindowNeed>,
}

/// What one command may take from the book: the best of `side` down to `limit`, or those at exactly that price.
#[derive(Clone, Copy)]
struct Taker {
    key: WindowKey,
    limit: Won,
}

impl Needs {
    /// What `envelopes` need. Commands of other roles need nothing: [`super::Market::carry_out`] refuses them.
    pub fn of(envelopes: &[Envelope], partitions: PartitionCount, limits: &Limits) -> Needs {
        let mut needs = Needs::default();
        let mut takers = Vec::new();
        for envelope in envelopes.iter().filter(|envelope| Role::of(envelope.command.kind()) == Role::Bid) {
            needs.partitions.extend(partition_of(&envelope.command, partitions));
            if envelope.user != UserId::SYSTEM {
                needs.users.insert(envelope.user);
            }
            needs.add_rows_of(envelope);
            takers.extend(taker(&envelope.command, limits));
        }
        needs.add_windows(&takers, limits.window_slack);
        needs
    }

    /// Asks for twice as many rows of one window.
    pub fn widen(&mut self, key: &WindowKey) {
        if let Some(need) = self.windows.get_mut(key) {
            need.rows = need.rows.saturating_mul(2).max(1);
        }
    }

    fn add_rows_of(&mut self, envelope: &Envelope) {
        match &envelope.command {
            Command::PlaceBuyBid { product, coupon, .. } => {
                self.products.insert(*product);
                self.coupons.extend(*coupon);
                self.open_counts.insert((envelope.user, *product));
            }
            Command::PlaceSellBid { product, picture, .. } => {
                self.products.insert(*product);
                self.open_counts.insert((envelope.user, *product));
                self.barcodes.extend(picture.barcode);
            }
            Command::BuyNow { product, coupon, .. } => {
                self.products.insert(*product);
                self.coupons.extend(*coupon);
            }
            Command::SellNow { product, picture, .. } => {
                self.products.insert(*product);
                self.barcodes.extend(picture.barcode);
            }
            Command::CancelBid { bid, .. } => {
                self.bids.insert(*bid);
            }
            Command::ExpireBids { bids, .. } => self.bids.extend(bids),
            Command::ConfirmCharge { .. }
            | Command::RequestRefund { .. }
            | Command::ApproveRefund { .. }
            | Command::RejectRefund { .. }
            | Command::CancelCharge { .. }
            | Command::ConfirmPayout { .. }
            | Command::FailPayout { .. }
            | Command::FollowPayment { .. }
            | Command::CollectDebt { .. } => {}
        }
    }

    /// One window for each key, as far down as the most generous taker goes, with a row for everyone who may take
    /// one from it.
    fn add_windows(&mut self, takers: &[Taker], slack: u32) {
        for taker in takers {
            let need = WindowNeed { limit_price: taker.limit, rows: slack };
            let need = self.windows.entry(taker.key).or_insert(need);
            need.limit_price = more_generous(taker.key.side(), need.limit_price, taker.limit);
        }
        for (key, need) in &mut self.windows {
            let may_take = takers.iter().filter(|taker| taker.reaches(key, need.limit_price)).count();
            need.rows = need.rows.saturating_add(u32::try_from(may_take).unwrap_or(u32::MAX));
        }
    }
}

impl Taker {
    /// Whether this command may take a bid out of the window `key` that goes down to `limit`.
    fn reaches(&self, key: &WindowKey, limit: Won) -> bool {
        if (self.key.product(), self.key.side()) != (key.product(), key.side()) {
            return false;
        }
        match (self.key, *key) {
            (WindowKey::Crossing { .. }, WindowKey::Crossing { .. }) => true,
            (WindowKey::Level { price, .. }, WindowKey::Level { price: of_window, .. }) => price == of_window,
            // A bid that is being placed takes from every level within its price.
            (WindowKey::Crossing { .. }, WindowKey::Level { price, .. }) => within(key.side(), price, self.limit),
            (WindowKey::Level { price, .. }, WindowKey::Crossing { .. }) => within(key.side(), price, limit),
        }
    }
}

/// The partition that orders this command, if it belongs to one.
pub(super) fn partition_of(command: &Command, partitions: PartitionCount) -> Option<PartitionId> {
    match command {
        Command::PlaceBuyBid { product, .. }
        | Command::PlaceSellBid { product, .. }
        | Command::BuyNow { product, .. }
        | Command::SellNow { product, .. }
        | Command::ExpireBids { product, .. } => Some(partitions.of_product(*product)),
        Command::CancelBid { bid, .. } => partitions.of_bid(*bid),
        Command::ConfirmCharge { .. }
        | Command::RequestRefund { .. }
        | Command::ApproveRefund { .. }
        | Command::RejectRefund { .. }
        | Command::CancelCharge { .. }
        | Command::ConfirmPayout { .. }
        | Command::FailPayout { .. }
        | Command::FollowPayment { .. }
        | Command::CollectDebt { .. } => None,
    }
}

fn taker(command: &Command, limits: &Limits) -> Option<Taker> {
    let (key, limit) = match *command {
        Command::PlaceBuyBid { product, price, .. } => (WindowKey::Crossing { product, side: Side::Sell }, price),
        Command::PlaceSellBid { product, price, .. } => (WindowKey::Crossing { product, side: Side::Buy }, price),
        Command::BuyNow { product, price, .. } => (WindowKey::Level { product, side: Side::Sell, price }, price),
        Command::SellNow { product, price, .. } => (WindowKey::Level { product, side: Side::Buy, price }, price),
        _ => return None,
    };
    // A bid of a forbidden price is refused before it looks for anybody.
    let placed = matches!(key, WindowKey::Crossing { .. });
    (!placed || limits.allows_price(limit)).then_some(Taker { key, limit })
}

impl Limits {
    /// Whether a bid may have this price.
    pub fn allows_price(&self, price: Won) -> bool {
        (self.min_price..=self.max_price).contains(&price)
    }
}

/// Whether a bid of `side` at `price` is as good as `limit`, or better, for who meets it.
fn within(side: Side, price: Won, limit: Won) -> bool {
    more_generous(side, price, limit) == limit
}

/// The price that admits more bids of `side`.
fn more_generous(side: Side, one: Won, other: Won) -> Won {
    match side {
        Side::Sell => one.max(other),
        Side::Buy => one.min(other),
    }
}
