//! From acts to commands: who asks, for which product, at which price, and which bid a cancel names.

use crate::{
    Failure,
    market::{Kept, now},
    mix::Act,
};
use contracts::{Command, CouponId, Picture, ProductId, Side, Won};
use rand::{Rng, rngs::StdRng};
use std::ops::RangeInclusive;

const PERIOD_DAYS: u32 = 7;
const DAY_MS: i64 = 86_400_000;
const NO_COUPON: Option<CouponId> = None;

/// A command, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) user: u64,
    pub(crate) command: Command,
}

/// Who asks for what.
pub(crate) struct Crowd {
    pub(crate) users: RangeInclusive<u64>,
    /// Bids to be cancelled, each once.
    pub(crate) kept: Vec<Kept>,
}

impl Crowd {
    /// One command an act, in order.
    pub(crate) fn asks(mut self, acts: &[(u64, Act)], luck: &mut StdRng) -> Result<Vec<Ask>, Failure> {
        acts.iter().map(|(product, act)| self.ask(ProductId(*product), *act, luck)).collect()
    }

    fn ask(&mut self, product: ProductId, act: Act, luck: &mut StdRng) -> Result<Ask, Failure> {
        let user = luck.random_range(self.users.clone());
        let price = Won(act.price(luck));
        let command = match act {
            Act::Keep(side) | Act::Rest(side) | Act::Offer(side) | Act::Cross(side) => {
                place(side, product, price, luck)
            }
            Act::Take(Side::Sell) => Command::BuyNow { product, price, coupon: NO_COUPON },
            Act::Take(Side::Buy) => Command::SellNow { product, price, picture: picture(luck) },
            Act::Cancel => {
                let kept = self.kept.pop().ok_or("fewer bids to cancel than cancels")?;
                return Ok(Ask { user: kept.user, command: Command::CancelBid { bid: kept.bid, side: kept.side } });
            }
        };
        Ok(Ask { user, command })
    }
}

fn place(side: Side, product: ProductId, price: Won, luck: &mut StdRng) -> Command {
    let deadline = now().plus_ms(i64::from(PERIOD_DAYS) * DAY_MS);
    match side {
        Side::Buy => Command::PlaceBuyBid { product, price, period_days: PERIOD_DAYS, deadline, coupon: NO_COUPON },
        Side::Sell => {
            Command::PlaceSellBid { product, price, period_days: PERIOD_DAYS, deadline, picture: picture(luck) }
        }
    }
}

/// A picture that no store holds: the bid worker never opens it.
fn picture(luck: &mut StdRng) -> Picture {
    let (first, second): (u128, u128) = (luck.random(), luck.random());
    let sha256 = format!("{first:032x}{second:032x}");
    Picture { key: format!("gifticons/{}.png", uuid::Uuid::from_u128(first)), sha256, ..Picture::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::{QUEUE_CANCELS, QUEUE_DECK, acts};
    use contracts::{BidId, Kind};
    use rand::SeedableRng;

    #[test]
    fn each_act_becomes_its_command_and_each_cancel_its_owners() {
        let luck = &mut StdRng::seed_from_u64(5);
        let acts = acts(&QUEUE_DECK, QUEUE_CANCELS, 40, &[3, 4], luck);
        let kept: Vec<Kept> = (0..6).map(|n| Kept { bid: BidId(256 + n), side: Side::Buy, user: 70 + n }).collect();
        let asks = Crowd { users: 1..=9, kept }.asks(&acts, luck).unwrap();
        assert_eq!(asks.len(), 40);
        let count = |kind| asks.iter().filter(|ask| ask.command.kind() == kind).count();
        assert_eq!((count(Kind::PlaceBuyBid), count(Kind::PlaceSellBid)), (14, 14));
        assert_eq!((count(Kind::BuyNow), count(Kind::SellNow), count(Kind::CancelBid)), (4, 2, 6));
        for ask in &asks {
            match ask.command {
                Command::CancelBid { bid, .. } => assert_eq!(bid.0 - 256, ask.user - 70),
                _ => assert!((1..=9).contains(&ask.user)),
            }
        }
    }

    #[test]
    fn too_few_bids_to_cancel_are_told() {
        let crowd = Crowd { users: 1..=9, kept: Vec::new() };
        assert!(crowd.asks(&[(3, Act::Cancel)], &mut StdRng::seed_from_u64(5)).is_err());
    }
}
