//! What the crowd asks for: decks of acts, shuffled, so that every run has the same shares whatever its length; and the
//! prices that keep the book in balance.
//!
//! ```text
//! price   7,000 buys kept (cancelled later)      12,000 sells kept
//!         8,000 buys that are met by sells       11,000 sells that are met by buys
//!         6,000 buys that are sold to at once    14,000 sells that are bought at once
//! ```
//! What one act places, another takes: no run makes the book much longer. Doesn't: know who asks, or which bid a cancel
//! names.

use contracts::Side;
use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use std::ops::Range;

/// What one command is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Place a bid that stays until it is cancelled.
    Keep(Side),
    /// Place a bid that waits to be crossed.
    Rest(Side),
    /// Place a bid that waits for a trade at once.
    Offer(Side),
    /// Place a bid that crosses the best one of the other side.
    Cross(Side),
    /// Trade at once; the side of the bid that is taken.
    Take(Side),
    /// Cancel a bid that was kept.
    Cancel,
}

use Side::{Buy, Sell};

/// On the queue: half place, a fifth match, and cancels and trades at once share the rest.
pub(crate) const QUEUE_DECK: [(Act, usize); 10] = [
    (Act::Keep(Buy), 2),
    (Act::Keep(Sell), 1),
    (Act::Rest(Buy), 2),
    (Act::Rest(Sell), 2),
    (Act::Offer(Buy), 1),
    (Act::Offer(Sell), 2),
    (Act::Cross(Buy), 2),
    (Act::Cross(Sell), 2),
    (Act::Take(Buy), 1),
    (Act::Take(Sell), 2),
];
/// Cancels in each deck for the queue.
pub(crate) const QUEUE_CANCELS: usize = 3;

/// Over HTTP: sells carry a picture, so there are only as many as trades need.
pub(crate) const HTTP_DECK: [(Act, usize); 5] =
    [(Act::Keep(Buy), 7), (Act::Rest(Sell), 2), (Act::Offer(Sell), 2), (Act::Cross(Buy), 2), (Act::Take(Sell), 2)];
/// Cancels in each deck for HTTP.
pub(crate) const HTTP_CANCELS: usize = 5;

/// Over HTTP, for long: the same without what is kept and cancelled, so that nothing must be in stock for it.
pub(crate) const BALANCED_DECK: [(Act, usize); 4] =
    [(Act::Rest(Sell), 1), (Act::Offer(Sell), 1), (Act::Cross(Buy), 1), (Act::Take(Sell), 1)];

/// `count` acts, each with its product: every product has decks of its own, so that it places what it takes; the
/// products take turns in an order that is shuffled anew each time.
pub(crate) fn acts(
    deck: &[(Act, usize)],
    cancels: usize,
    count: usize,
    products: &[u64],
    luck: &mut StdRng,
) -> Vec<(u64, Act)> {
    let whole: Vec<Act> = deck
        .iter()
        .chain(&[(Act::Cancel, cancels)])
        .flat_map(|(act, times)| std::iter::repeat_n(*act, *times))
        .collect();
    let mut decks: Vec<(u64, Vec<Act>)> = products.iter().map(|product| (*product, Vec::new())).collect();
    let mut acts = Vec::with_capacity(count + products.len());
    while acts.len() < count && !decks.is_empty() {
        decks.shuffle(luck);
        for (product, deck) in &mut decks {
            if deck.is_empty() {
                deck.clone_from(&whole);
                deck.shuffle(luck);
            }
            acts.extend(deck.pop().map(|act| (*product, act)));
        }
    }
    acts.truncate(count);
    acts
}

/// How many of `acts` are cancels: so many bids must be there to be cancelled.
pub(crate) fn cancels(acts: &[(u64, Act)]) -> usize {
    acts.iter().filter(|(_, act)| *act == Act::Cancel).count()
}

impl Act {
    /// The prices at which this act places a bid, or takes one; none for a cancel.
    pub(crate) fn prices(self) -> Range<i64> {
        match self {
            Act::Keep(Buy) => 7_000..8_000,
            Act::Keep(Sell) => 12_000..13_000,
            Act::Rest(Buy) => 8_000..9_000,
            Act::Rest(Sell) => 11_000..12_000,
            Act::Offer(Buy) | Act::Take(Buy) => 6_000..6_001,
            Act::Offer(Sell) | Act::Take(Sell) => 14_000..14_001,
            Act::Cross(Buy) => 11_999..12_000,
            Act::Cross(Sell) => 8_000..8_001,
            Act::Cancel => 0..1,
        }
    }

    /// One of them.
    pub(crate) fn price(self, luck: &mut StdRng) -> i64 {
        luck.random_range(self.prices())
    }
}

/// Prices at which bids stand that nobody takes: they only make the book long.
pub(crate) fn standing_prices(side: Side) -> Range<i64> {
    match side {
        Buy => 1_000..6_000,
        Sell => 20_000..25_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    fn shares(deck: &[(Act, usize)], cancels: usize) -> BTreeMap<Act, usize> {
        let mut shares = BTreeMap::new();
        for (_, act) in acts(deck, cancels, 2_000, &[1, 2, 3, 4, 5], &mut StdRng::seed_from_u64(3)) {
            *shares.entry(act).or_default() += 1;
        }
        shares
    }

    fn sum(shares: &BTreeMap<Act, usize>, wanted: impl Fn(Act) -> bool) -> usize {
        shares.iter().filter(|(act, _)| wanted(**act)).map(|(_, times)| times).sum()
    }

    #[test]
    fn on_the_queue_half_place_a_fifth_match_and_the_book_stays_as_long_as_it_was() {
        let shares = shares(&QUEUE_DECK, QUEUE_CANCELS);
        let placed = sum(&shares, |act| matches!(act, Act::Keep(_) | Act::Rest(_) | Act::Offer(_)));
        assert_eq!(placed, 1_000);
        assert_eq!(sum(&shares, |act| matches!(act, Act::Cross(_))), 400);
        assert_eq!(sum(&shares, |act| matches!(act, Act::Take(_))), 300);
        assert_eq!(shares[&Act::Cancel], 300);
        for side in [Buy, Sell] {
            assert_eq!(shares[&Act::Rest(side)], shares[&Act::Cross(side.opposite())]);
            assert_eq!(shares[&Act::Offer(side)], shares[&Act::Take(side)]);
        }
    }

    #[test]
    fn over_http_whatever_is_taken_was_placed() {
        let shares = shares(&HTTP_DECK, HTTP_CANCELS);
        assert_eq!(shares[&Act::Rest(Sell)], shares[&Act::Cross(Buy)]);
        assert_eq!(shares[&Act::Offer(Sell)], shares[&Act::Take(Sell)]);
        assert_eq!(sum(&shares, |_| true), 2_000);
    }

    #[test]
    fn a_crossing_bid_reaches_all_that_rest_and_nothing_else_crosses() {
        assert!(Act::Cross(Buy).prices().start >= Act::Rest(Sell).prices().end - 1);
        assert!(Act::Cross(Sell).prices().start <= Act::Rest(Buy).prices().start);
        let buys = [Act::Keep(Buy), Act::Rest(Buy), Act::Offer(Buy)].map(|act| act.prices().end);
        let sells = [Act::Keep(Sell), Act::Rest(Sell), Act::Offer(Sell)].map(|act| act.prices().start);
        let highest = buys.into_iter().chain([standing_prices(Buy).end]).max().unwrap();
        let lowest = sells.into_iter().chain([standing_prices(Sell).start]).min().unwrap();
        assert!(highest <= lowest);
        assert!(Act::Cross(Buy).prices().end <= Act::Keep(Sell).prices().start);
    }

    #[test]
    fn any_number_of_acts_can_be_had_and_each_product_has_whole_decks() {
        let acts = |count| acts(&QUEUE_DECK, QUEUE_CANCELS, count, &[7, 9], &mut StdRng::seed_from_u64(1));
        assert_eq!(acts(33).len(), 33);
        let of_seven = acts(80).into_iter().filter(|(product, _)| *product == 7).take(20).collect::<Vec<_>>();
        assert_eq!((of_seven.len(), cancels(&of_seven)), (20, QUEUE_CANCELS));
    }
}
