//! The order book, as far as it is known: open bids in the order of their priority, and how far down they are all of
//! them.
//!
//! Promises: a [`Book::search`] goes best first and stops with `WindowTooShort` where unloaded bids may stand before
//! the next candidate. Doesn't: change anything; what it found is carried out by the market.

use super::{
    bid::Bid,
    decision::{Missing, Undecided},
    needs::{Window, WindowKey},
};
use contracts::{BidId, ProductId, Side, UnixMs, UserId, Won};
use std::collections::{BTreeMap, BTreeSet};

/// A bid's place in its queue: the smaller, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// The price, negated on the buy side, where more is better.
    price: i64,
    /// Among equal prices the older.
    bid: BidId,
}

impl Rank {
    fn of(bid: &Bid) -> Self {
        Self { price: price_rank(bid.side, bid.price), bid: bid.id }
    }
}

fn price_rank(side: Side, price: Won) -> i64 {
    match side {
        Side::Sell => price.0,
        Side::Buy => price.0.saturating_neg(),
    }
}

/// How much of a window is known.
#[derive(Clone, Copy, Debug)]
struct Coverage {
    /// The worst price that was asked for.
    limit_rank: i64,
    /// The last bid that was loaded, when there may be more behind it.
    ends_with: Option<Rank>,
}

impl Coverage {
    fn of(window: &Window) -> Self {
        let all = u32::try_from(window.bids.len()).unwrap_or(u32::MAX) < window.need.rows;
        let nothing = Rank { price: i64::MIN, bid: BidId(0) };
        Self {
            limit_rank: price_rank(window.key.side(), window.need.limit_price),
            ends_with: if all { None } else { Some(window.bids.last().map_or(nothing, Rank::of)) },
        }
    }

    /// Whether every open bid as good as `rank`, or better, is known.
    fn reaches(self, rank: Rank) -> bool {
        self.ends_with.is_none_or(|last| rank <= last)
    }
}

/// Who is looking for whom.
pub(super) struct Search {
    /// Among these.
    pub(super) key: WindowKey,
    /// The worst price that will do.
    pub(super) limit: Won,
    /// Passes over the bids of this user.
    pub(super) user: UserId,
    /// Bids whose deadline is not later are past it.
    pub(super) at: UnixMs,
    /// Of these, report so many.
    pub(super) max_retired: usize,
}

/// What a search met.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bids past their deadline that stood in the way, best first.
    pub(super) expired: Vec<BidId>,
    /// The best bid that will do.
    pub(super) counterparty: Option<BidId>,
}

/// The known open bids.
#[derive(Debug, Default)]
pub(super) struct Book {
    queues: BTreeMap<(ProductId, Side), BTreeSet<Rank>>,
    coverage: BTreeMap<WindowKey, Coverage>,
}

impl Book {
    /// An empty book that knows how far each window reaches.
    pub(super) fn covering(windows: &[Window]) -> Self {
        let coverage = windows.iter().map(|window| (window.key, Coverage::of(window))).collect();
        Self { queues: BTreeMap::new(), coverage }
    }

    pub(super) fn insert(&mut self, bid: &Bid) {
        self.queues.entry((bid.product, bid.side)).or_default().insert(Rank::of(bid));
    }

    pub(super) fn remove(&mut self, bid: &Bid) {
        if let Some(queue) = self.queues.get_mut(&(bid.product, bid.side)) {
            queue.remove(&Rank::of(bid));
        }
    }

    /// Goes through the queue, best first, until somebody is found. `lookup` knows every bid in the book.
    pub(super) fn search<'a>(
        &self,
        search: &Search,
        lookup: impl Fn(BidId) -> Option<&'a Bid>,
    ) -> Result<Found, Undecided> {
        let Search { key, limit, user, at, max_retired } = *search;
        let worst = Rank { price: price_rank(key.side(), limit), bid: BidId(u64::MAX) };
        let coverage = self.coverage.get(&key).filter(|coverage| worst.price <= coverage.limit_rank);
        let coverage = coverage.ok_or(Undecided::NotLoaded(Missing::Window(key)))?;
        let best = match key {
            WindowKey::Crossing { .. } => Rank { price: i64::MIN, bid: BidId(0) },
            WindowKey::Level { .. } => Rank { price: worst.price, bid: BidId(0) },
        };
        let mut found = Found::default();
        let queue = self.queues.get(&(key.product(), key.side()));
        for rank in queue.into_iter().flat_map(|queue| queue.range(best..=worst)) {
            if !coverage.reaches(*rank) {
                return Err(Undecided::WindowTooShort(key));
            }
            let bid = lookup(rank.bid).ok_or(Undecided::NotLoaded(Missing::Bid(rank.bid)))?;
            if bid.deadline <= at {
                if found.expired.len() < max_retired {
                    found.expired.push(bid.id);
                }
            } else if bid.user != user {
                found.counterparty = Some(bid.id);
                return Ok(found);
            }
        }
        if coverage.reaches(worst) { Ok(found) } else { Err(Undecided::WindowTooShort(key)) }
    }
}
