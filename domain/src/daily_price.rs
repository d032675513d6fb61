//! What a product cost day by day: open, high, low, close and volume, by Seoul's days.
//!
//! Promises: trades may be added in any portions, and the days come out the same. Doesn't: know days without a trade;
//! there is nothing to say about them.

use crate::deadline::{DAY_MS, SEOUL_OFFSET_MS};
use contracts::{OrderId, UnixMs, Won};

/// A day in Seoul, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeoulDay(pub i64);

impl SeoulDay {
    /// The day of an instant.
    pub fn of(at: UnixMs) -> Self {
        Self(at.plus_ms(SEOUL_OFFSET_MS).0.div_euclid(DAY_MS))
    }

    /// Its first instant.
    pub fn begins_at(self) -> UnixMs {
        UnixMs(self.0.saturating_mul(DAY_MS)).plus_ms(-SEOUL_OFFSET_MS)
    }

    /// The day so many days before.
    #[must_use]
    pub fn before(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

/// A trade, as far as prices go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Its number: a product's trades are numbered in their order.
    pub order: OrderId,
    /// Before the coupon.
    pub price: Won,
    /// When.
    pub at: UnixMs,
}

/// A day on which a product was traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyPrice {
    /// Which day.
    pub day: SeoulDay,
    /// The first trade's price.
    pub open: Won,
    /// The highest price.
    pub high: Won,
    /// The lowest price.
    pub low: Won,
    /// The last trade's price.
    pub close: Won,
    /// How many vouchers changed hands.
    pub volume: i64,
    /// The last trade in it.
    pub last_order: OrderId,
}

impl DailyPrice {
    fn beginning_with(trade: &Trade) -> Self {
        let Trade { order, price, at } = *trade;
        let day = SeoulDay::of(at);
        Self { day, open: price, high: price, low: price, close: price, volume: 1, last_order: order }
    }

    fn add(&mut self, trade: &Trade) {
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        self.volume = self.volume.saturating_add(1);
        self.last_order = trade.order;
    }
}

/// The days that `trades`, in their order, begin or change; `last` is the last day so far. Trades that are in it already
/// change nothing.
pub fn add(last: Option<DailyPrice>, trades: &[Trade]) -> Vec<DailyPrice> {
    let mut days: Vec<DailyPrice> = Vec::new();
    for trade in trades {
        let current = days.last().copied().or(last);
        if current.is_some_and(|day| trade.order <= day.last_order) {
            continue;
        }
        match current {
            // A partition's time never goes back; should it, the day that is open takes the trade.
            Some(mut day) if SeoulDay::of(trade.at) <= day.day => {
                day.add(trade);
                match days.last_mut() {
                    Some(last) => *last = day,
                    None => days.push(day),
                }
            }
            _ => days.push(DailyPrice::beginning_with(trade)),
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// 2024-01-30T00:00:00+09:00 = 2024-01-29T15:00:00Z.
    const JANUARY_30_IN_SEOUL: i64 = 1_706_540_400_000;

    fn trade(order: u64, price: i64, at: i64) -> Trade {
        Trade { order: OrderId(order), price: Won(price), at: UnixMs(at) }
    }

    #[test]
    fn a_day_begins_and_ends_at_midnight_in_seoul() {
        let day = SeoulDay::of(UnixMs(JANUARY_30_IN_SEOUL));
        assert_eq!(day.begins_at(), UnixMs(JANUARY_30_IN_SEOUL));
        assert_eq!(SeoulDay::of(UnixMs(JANUARY_30_IN_SEOUL - 1)), day.before(1));
        assert_eq!(SeoulDay::of(UnixMs(JANUARY_30_IN_SEOUL + DAY_MS - 1)), day);
        assert_eq!(SeoulDay::of(UnixMs(JANUARY_30_IN_SEOUL + DAY_MS)), SeoulDay(day.0 + 1));
    }

    #[test]
    fn the_last_moment_of_a_day_and_the_first_of_the_next_are_two_days() {
        let trades = [
            trade(1, 500, JANUARY_30_IN_SEOUL - 1),
            trade(2, 700, JANUARY_30_IN_SEOUL),
            trade(3, 300, JANUARY_30_IN_SEOUL + 5),
            trade(4, 600, JANUARY_30_IN_SEOUL + DAY_MS - 1),
        ];
        let days = add(None, &trades);
        let figures = |day: &DailyPrice| (day.open.0, day.high.0, day.low.0, day.close.0, day.volume, day.last_order.0);
        assert_eq!(
            days.iter().map(figures).collect::<Vec<_>>(),
            [(500, 500, 500, 500, 1, 1), (700, 700, 300, 600, 3, 4)]
        );
    }

    /// All of it, in the plainest way.
    fn plainly(trades: &[Trade]) -> Vec<DailyPrice> {
        let mut by_day: BTreeMap<SeoulDay, Vec<&Trade>> = BTreeMap::new();
        for trade in trades {
            by_day.entry(SeoulDay::of(trade.at)).or_default().push(trade);
        }
        let day = |(day, trades): (SeoulDay, Vec<&Trade>)| DailyPrice {
            day,
            open: trades[0].price,
            high: trades.iter().map(|trade| trade.price).max().unwrap(),
            low: trades.iter().map(|trade| trade.price).min().unwrap(),
            close: trades[trades.len() - 1].price,
            volume: i64::try_from(trades.len()).unwrap(),
            last_order: trades[trades.len() - 1].order,
        };
        by_day.into_iter().map(day).collect()
    }

    proptest! {
        #[test]
        fn portions_of_any_size_and_repetitions_change_nothing(
            gaps in prop::collection::vec((1_u64..4, 1_i64..1_000, 0_i64..DAY_MS), 0..60),
            sizes in prop::collection::vec(1_usize..20, 1..6),
        ) {
            let (mut order, mut at) = (0, JANUARY_30_IN_SEOUL - DAY_MS / 2);
            let trades: Vec<Trade> = gaps.iter().map(|(step, price, pause)| {
                (order, at) = (order + step, at + pause);
                trade(order, *price, at)
            }).collect();
            let mut days: BTreeMap<SeoulDay, DailyPrice> = BTreeMap::new();
            let (mut done, mut sizes) = (0, sizes.iter().cycle());
            while done < trades.len() {
                let end = trades.len().min(done + sizes.next().unwrap());
                // Again from the beginning: what is in already must not count twice.
                for portion in [&trades[done..end], &trades[..end]] {
                    let last = days.values().next_back().copied();
                    days.extend(add(last, portion).into_iter().map(|day| (day.day, day)));
                }
                done = end;
            }
            prop_assert_eq!(days.into_values().collect::<Vec<_>>(), plainly(&trades));
        }
    }
}
