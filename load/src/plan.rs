//! What a client wants next: pure chance from a seed, given what the client knows.

use crate::mind::{Mind, OpenBid, Period};
use contracts::Side;
use rand::{Rng, rngs::StdRng};

/// How strongly the popular products are preferred: product number n is wanted 1 / n^0.9 as often as the first.
const POPULARITY: f64 = 0.9;
/// The smallest step between two prices: levels gather several bids.
const PRICE_STEP: i64 = 100;
/// Points at sign-up, in demo mode.
pub(crate) const SIGN_UP_GIFT: i64 = 100_000;

/// The products, and how much each is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Assortment {
    /// Product ids and usual prices, most popular first.
    products: Vec<(u64, i64)>,
    /// Sums of the weights so far.
    cumulated: Vec<f64>,
}

impl Assortment {
    /// `products` are ids and usual prices, most popular first.
    pub(crate) fn new(products: Vec<(u64, i64)>) -> Self {
        let mut sum = 0.0;
        let weight = |rank: u32| f64::from(rank).powf(-POPULARITY);
        let cumulated = (1..).zip(&products).map(|(rank, _)| {
            sum += weight(rank);
            sum
        });
        Self { cumulated: cumulated.collect(), products }
    }

    /// The usual price of product number `index`, most popular first.
    pub(crate) fn usual_price(index: u32) -> i64 {
        2_000 + i64::from(index * 37 % 50) * PRICE_STEP * 5
    }

    /// Every product's id, most popular first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.products.iter().map(|(id, _)| *id)
    }

    fn pick(&self, rng: &mut StdRng) -> (u64, i64) {
        let total = self.cumulated.last().copied().unwrap_or(0.0);
        let at = rng.random::<f64>() * total;
        let index = self.cumulated.partition_point(|sum| *sum <= at);
        self.products.get(index).or(self.products.last()).copied().unwrap_or((0, PRICE_STEP))
    }
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Offer to buy or sell.
    Place { side: Side, product: u64, price: i64, period: Period },
    /// Trade at once, at the best price on offer; placed as a bid at `fallback` when nothing is.
    AtOnce { side: Side, product: u64, fallback: i64 },
    /// Take a bid back.
    Cancel(OpenBid),
    /// Buy points.
    Charge { amount: i64 },
    /// Get points paid back.
    Refund { point: i64 },
    /// Look how many points there are.
    LookAtPoints,
}

/// How a client sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As the front end does: no key, and whoever asks twice asks for two things.
    Plain,
    /// With a key, so that a retry is the same command.
    Keyed,
    /// With a key, and without waiting for the outcome.
    Async,
    /// With a key, and sent a second time after the answer.
    Twice,
    /// With a key, and sent twice at the same time.
    Twins,
    /// With a key that is used again for something else.
    OtherBody,
}

/// How the next command is sent.
pub(crate) fn manner(rng: &mut StdRng) -> Manner {
    match rng.random_range(0..100) {
        0..10 => Manner::Plain,
        10..15 => Manner::Async,
        15..17 => Manner::Twice,
        17..19 => Manner::Twins,
        19..21 => Manner::OtherBody,
        _ => Manner::Keyed,
    }
}

/// What the client wants next.
pub(crate) fn next(rng: &mut StdRng, mind: &Mind, assortment: &Assortment) -> Wish {
    let (product, usual) = assortment.pick(rng);
    let wish = match rng.random_range(0..100) {
        0..29 => place(rng, Side::Buy, product, usual),
        29..57 => place(rng, Side::Sell, product, usual),
        57..68 => Wish::AtOnce { side: Side::Buy, product, fallback: usual },
        68..79 => Wish::AtOnce { side: Side::Sell, product, fallback: usual },
        79..90 => cancel(rng, mind).unwrap_or_else(|| place(rng, Side::Sell, product, usual)),
        90..95 => charge(rng),
        95..98 => refund(rng, mind).unwrap_or_else(|| charge(rng)),
        _ => Wish::LookAtPoints,
    };
    match wish {
        // Most people charge first; some try nevertheless, and are refused.
        Wish::Place { side: Side::Buy, price, .. } if price > mind.points && rng.random_bool(0.8) => charge(rng),
        wish => wish,
    }
}

/// Buyers begin a little below the usual price and sellers a little above it, so that some bids meet and some rest.
fn place(rng: &mut StdRng, side: Side, product: u64, usual: i64) -> Wish {
    let lean = match side {
        Side::Buy => -5,
        Side::Sell => 5,
    };
    let per_cent = 100 + lean + rng.random_range(-5..=5) + rng.random_range(-5..=5);
    let price = (usual * per_cent / 100 / PRICE_STEP * PRICE_STEP).max(PRICE_STEP);
    let period = if rng.random_bool(0.6) { Period::Short } else { Period::Default };
    Wish::Place { side, product, price, period }
}

fn cancel(rng: &mut StdRng, mind: &Mind) -> Option<Wish> {
    // The youngest bids are the likeliest to be open still.
    let youngest = mind.bids.len().min(8);
    let back = rng.random_range(0..youngest.max(1));
    mind.bids.iter().rev().nth(back).copied().map(Wish::Cancel)
}

fn charge(rng: &mut StdRng) -> Wish {
    Wish::Charge { amount: rng.random_range(5..=50) * 1_000 }
}

/// Mostly what was charged before (cancelled at Toss), sometimes more (paid out).
fn refund(rng: &mut StdRng, mind: &Mind) -> Option<Wish> {
    let wanted = rng.random_range(1..=10) * 500;
    let beyond_charges = rng.random_bool(0.1);
    let possible = wanted <= mind.points && (wanted <= mind.refundable || beyond_charges);
    possible.then_some(Wish::Refund { point: wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeMap;

    fn fifty() -> Assortment {
        Assortment::new((0..50).map(|index| (u64::from(index) + 1, Assortment::usual_price(index))).collect())
    }

    fn wishes(seed: u64, count: usize) -> Vec<Wish> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut mind = Mind { points: SIGN_UP_GIFT, refundable: 50_000, ..Mind::default() };
        mind.placed(OpenBid { id: 258, side: Side::Buy, period: Period::Short });
        (0..count).map(|_| next(&mut rng, &mind, &fifty())).collect()
    }

    #[test]
    fn the_same_seed_wishes_the_same() {
        assert_eq!(wishes(7, 500), wishes(7, 500));
        assert_ne!(wishes(7, 500), wishes(8, 500));
    }

    #[test]
    fn every_kind_comes_often_enough_in_a_day() {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for wish in wishes(1, 20_000) {
            let name = match wish {
                Wish::Place { side: Side::Buy, .. } => "place buy",
                Wish::Place { side: Side::Sell, .. } => "place sell",
                Wish::AtOnce { side: Side::Buy, .. } => "buy now",
                Wish::AtOnce { side: Side::Sell, .. } => "sell now",
                Wish::Cancel(_) => "cancel",
                Wish::Charge { .. } => "charge",
                Wish::Refund { .. } => "refund",
                Wish::LookAtPoints => "look",
            };
            *counts.entry(name).or_default() += 1;
        }
        assert_eq!(counts.len(), 8);
        assert!(counts.values().all(|count| *count >= 300), "{counts:?}");
    }

    #[test]
    fn a_few_products_are_very_popular_and_none_is_forgotten() {
        let (assortment, mut rng) = (fifty(), StdRng::seed_from_u64(3));
        let mut counts = [0_u32; 51];
        for _ in 0..20_000 {
            counts[usize::try_from(assortment.pick(&mut rng).0).unwrap()] += 1;
        }
        let top: u32 = counts[1..=5].iter().sum();
        assert!(top > 20_000 * 4 / 10, "{top}");
        assert!(counts[1..].iter().all(|count| *count > 50), "{counts:?}");
    }

    #[test]
    fn prices_are_steps_around_the_usual_one_and_meet() {
        let (mut rng, mut prices) = (StdRng::seed_from_u64(5), BTreeMap::from([("buy", vec![]), ("sell", vec![])]));
        for side in [Side::Buy, Side::Sell] {
            for _ in 0..1_000 {
                let Wish::Place { price, .. } = place(&mut rng, side, 1, 10_000) else { unreachable!() };
                assert_eq!(price % PRICE_STEP, 0);
                prices.get_mut(side.as_str()).unwrap().push(price);
            }
        }
        let (buys, sells) = (&prices["buy"], &prices["sell"]);
        assert!(buys.iter().max() > sells.iter().min(), "some meet");
        assert!(buys.iter().sum::<i64>() < sells.iter().sum::<i64>(), "most rest");
    }

    #[test]
    fn who_has_no_points_mostly_charges_and_gets_nothing_back() {
        let mut rng = StdRng::seed_from_u64(2);
        let mind = Mind::default();
        let wishes: Vec<Wish> = (0..1_000).map(|_| next(&mut rng, &mind, &fifty())).collect();
        assert!(wishes.iter().all(|wish| !matches!(wish, Wish::Refund { .. } | Wish::Cancel(_))));
        let charges = wishes.iter().filter(|wish| matches!(wish, Wish::Charge { .. })).count();
        assert!((250..450).contains(&charges), "{charges}");
        let manners: Vec<Manner> = (0..1_000).map(|_| manner(&mut rng)).collect();
        assert!(
            [Manner::Plain, Manner::Async, Manner::Twice, Manner::Twins, Manner::OtherBody]
                .iter()
                .all(|m| manners.contains(m))
        );
    }
}
