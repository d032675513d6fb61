//! A database in memory that answers `Needs` as the SQL does and refuses what its constraints refuse: nothing is
//! loaded that was not asked for.

use contracts::{
    BarcodeHash, BidId, CouponId, Envelope, GifticonId, OrderId, PartitionCount, PartitionId, ProductId, Side, UserId,
    Won, event::Caused,
};
use domain::{
    ledger::Account,
    market::{
        Balance, Bid, BidState, Changes, Claim, Coupon, CouponEntry, CouponState, Decision, Gifticon, Limits, Loaded,
        Market, Needs, Order, Progress, Transfer, Undecided, Window, WindowKey, WindowNeed,
    },
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
pub struct Database {
    pub partition_count: PartitionCount,
    pub limits: Limits,
    pub partitions: BTreeMap<PartitionId, Progress>,
    pub products: BTreeSet<ProductId>,
    pub opening: BTreeMap<UserId, Won>,
    pub balances: BTreeMap<UserId, Balance>,
    pub coupons: BTreeMap<CouponId, Coupon>,
    pub coupon_entries: Vec<CouponEntry>,
    pub bids: BTreeMap<BidId, Bid>,
    pub gifticons: Vec<Gifticon>,
    pub claims: BTreeMap<BarcodeHash, GifticonId>,
    pub orders: Vec<Order>,
    pub transfers: Vec<Transfer>,
    pub events: Vec<Caused>,
    /// How often a batch began again because a window was too short.
    pub widened: usize,
}

impl Database {
    pub fn new(partition_count: u16, limits: Limits) -> Self {
        let partition_count = PartitionCount::new(partition_count).unwrap();
        Self {
            partition_count,
            limits,
            partitions: partition_count.all().map(|partition| (partition, Progress::default())).collect(),
            products: BTreeSet::new(),
            opening: BTreeMap::new(),
            balances: BTreeMap::new(),
            coupons: BTreeMap::new(),
            coupon_entries: Vec::new(),
            bids: BTreeMap::new(),
            gifticons: Vec::new(),
            claims: BTreeMap::new(),
            orders: Vec::new(),
            transfers: Vec::new(),
            events: Vec::new(),
            widened: 0,
        }
    }

    pub fn add_user(&mut self, user: UserId, available: Won) {
        self.opening.insert(user, available);
        self.balances.insert(user, Balance { available, held: Won::ZERO });
    }

    /// Carries a batch out as the worker does. Each envelope comes with the worker's clock.
    pub fn carry_out(&mut self, batch: &[(Envelope, contracts::UnixMs)]) -> Result<Vec<Decision>, Undecided> {
        let envelopes: Vec<Envelope> = batch.iter().map(|(envelope, _)| envelope.clone()).collect();
        let mut needs = Needs::of(&envelopes, self.partition_count, &self.limits);
        for _ in 0..64 {
            let mut market = Market::new(self.load(&needs), self.partition_count, self.limits);
            let decisions: Result<Vec<Decision>, Undecided> =
                batch.iter().map(|(envelope, now)| market.carry_out(envelope, *now)).collect();
            match decisions {
                Err(Undecided::WindowTooShort(key)) => {
                    self.widened += 1;
                    needs.widen(&key);
                }
                Err(other) => return Err(other),
                Ok(decisions) => {
                    self.write(market.into_changes());
                    return Ok(decisions);
                }
            }
        }
        panic!("a window was doubled 64 times and is still too short");
    }

    pub fn load(&self, needs: &Needs) -> Loaded {
        let mut loaded = Loaded {
            partitions: chosen(&self.partitions, &needs.partitions),
            products: self.products.intersection(&needs.products).copied().collect(),
            windows: needs.windows.iter().map(|(key, need)| self.window(*key, *need)).collect(),
            bids: chosen(&self.bids, &needs.bids).into_values().collect(),
            open_counts: needs.open_counts.iter().filter_map(|pair| self.open_count(*pair)).collect(),
            claims: needs.barcodes.iter().filter_map(|code| Some((*code, self.claim(*code)?))).collect(),
            ..Loaded::default()
        };
        let coupons = needs.coupons.union(&loaded.coupons_of_bids()).copied().collect();
        loaded.coupons = chosen(&self.coupons, &coupons).into_values().collect();
        let users = needs.users.union(&loaded.counterparties()).copied().collect();
        loaded.balances = chosen(&self.balances, &users);
        loaded
    }

    fn window(&self, key: WindowKey, need: WindowNeed) -> Window {
        let wanted = |bid: &Bid| match key {
            WindowKey::Level { price, .. } => bid.price == price,
            WindowKey::Crossing { side: Side::Sell, .. } => bid.price <= need.limit_price,
            WindowKey::Crossing { side: Side::Buy, .. } => bid.price >= need.limit_price,
        };
        let mut bids: Vec<Bid> = self
            .bids
            .values()
            .filter(|bid| bid.state == BidState::Open && bid.product == key.product() && bid.side == key.side())
            .filter(|bid| wanted(bid))
            .cloned()
            .collect();
        match key.side() {
            Side::Sell => bids.sort_by_key(|bid| (bid.price, bid.id)),
            Side::Buy => bids.sort_by_key(|bid| (std::cmp::Reverse(bid.price), bid.id)),
        }
        bids.truncate(usize::try_from(need.rows).unwrap());
        Window { key, need, bids }
    }

    fn open_count(&self, (user, product): (UserId, ProductId)) -> Option<((UserId, ProductId), u32)> {
        let mine = |bid: &&Bid| bid.state == BidState::Open && bid.user == user && bid.product == product;
        let count = u32::try_from(self.bids.values().filter(mine).count()).unwrap();
        (count > 0).then_some(((user, product), count))
    }

    fn claim(&self, barcode: BarcodeHash) -> Option<Claim> {
        let gifticon = *self.claims.get(&barcode)?;
        let bid = self.gifticons.iter().find(|known| known.id == gifticon).unwrap().bid;
        let over = |bid: BidId| matches!(self.bids[&bid].state, BidState::Cancelled | BidState::Expired);
        Some(Claim { gifticon, bid, released: bid.is_some_and(over) })
    }

    pub fn write(&mut self, changes: Changes) {
        let Changes {
            partitions,
            bids_placed,
            bids_closed,
            gifticons,
            claims_made,
            claims_passed_on,
            orders,
            transfers,
            balances,
            coupons,
            coupon_entries,
            events,
        } = changes;
        for (id, progress) in partitions {
            let before = self.partitions.insert(id, progress).unwrap();
            assert_ne!(before, progress, "an unchanged partition was written");
            assert!(before.last_sequence <= progress.last_sequence && before.last_time <= progress.last_time);
        }
        for (id, state, at) in bids_closed {
            let bid = self.bids.get_mut(&id).unwrap();
            assert_eq!(bid.state, BidState::Open, "bid {id} was closed twice");
            assert_ne!(state, BidState::Open);
            (bid.state, bid.closed_at) = (state, Some(at));
        }
        for bid in bids_placed {
            assert!(self.bids.insert(bid.id, bid.clone()).is_none(), "{bid:?} has a used id");
        }
        for (user, balance) in balances {
            let before = self.balances.insert(user, balance).unwrap();
            assert_ne!(before, balance, "an unchanged balance was written");
        }
        for (id, state) in coupons {
            let coupon = self.coupons.get_mut(&id).unwrap();
            assert_ne!(coupon.state, state, "an unchanged coupon was written");
            coupon.state = state;
        }
        self.coupon_entries.extend(coupon_entries);
        for (barcode, gifticon) in claims_made {
            assert!(self.claims.insert(barcode, gifticon).is_none(), "{barcode} was claimed before");
        }
        for (barcode, gifticon) in claims_passed_on {
            assert_ne!(self.claims.insert(barcode, gifticon).unwrap(), gifticon, "an unchanged claim was written");
        }
        self.gifticons.extend(gifticons);
        self.orders.extend(orders);
        self.transfers.extend(transfers);
        self.events.extend(events);
    }

    pub fn balance(&self, user: UserId) -> (i64, i64) {
        let balance = self.balances[&user];
        (balance.available.0, balance.held.0)
    }

    pub fn coupon_state(&self, coupon: CouponId) -> CouponState {
        self.coupons[&coupon].state
    }

    pub fn order(&self, order: OrderId) -> &Order {
        self.orders.iter().find(|found| found.id == order).unwrap()
    }

    /// The sum of all entries of a system account.
    pub fn system(&self, account: Account) -> i64 {
        let entries = self.transfers.iter().flat_map(|transfer| &transfer.entries);
        entries.filter(|entry| entry.account == account && entry.user == UserId::SYSTEM).map(|e| e.amount.0).sum()
    }
}

fn chosen<K: Ord + Copy, V: Clone>(rows: &BTreeMap<K, V>, keys: &BTreeSet<K>) -> BTreeMap<K, V> {
    keys.iter().filter_map(|key| rows.get(key).map(|row| (*key, row.clone()))).collect()
}
