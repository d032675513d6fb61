//! Coupons: what they take off a price, and where they stand.
//!
//! ```text
//!              bid placed             bid traded
//! available ──────────────► reserved ────────────► used
//!     │  ▲                     │                    ▲
//!     │  └─ cancelled, expired ┘                    │
//!     └────────────── bought now ───────────────────┘
//! ```
//! Every arrow is a [`CouponStep`] in the ledger of coupons. What a used coupon cost is an entry of the trade itself.

use crate::{share::share, word::words};
use contracts::{CommandId, CouponId, UnixMs, UserId, Won};

/// What a coupon takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discount {
    /// Per cent of the price.
    Rate(u32),
    /// A fixed amount.
    Fix(Won),
}

words! {
    /// Where a coupon stands.
    CouponState, "coupon state", {
        /// It may be used.
        Available = "available",
        /// An open buy bid holds it.
        Reserved = "reserved",
        /// A trade used it up.
        Used = "used",
    }
}

words! {
    /// What happened to a coupon.
    CouponStep, "coupon step", {
        /// An administrator gave it to somebody.
        Granted = "granted",
        /// A buy bid took it.
        Reserved = "reserved",
        /// That bid was cancelled or expired.
        Returned = "returned",
        /// A trade used it up.
        Used = "used",
    }
}

impl CouponStep {
    /// Where the coupon stands afterwards.
    pub fn leads_to(self) -> CouponState {
        match self {
            CouponStep::Granted | CouponStep::Returned => CouponState::Available,
            CouponStep::Reserved => CouponState::Reserved,
            CouponStep::Used => CouponState::Used,
        }
    }
}

/// One line in the ledger of coupons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouponEntry {
    /// Which coupon.
    pub coupon: CouponId,
    /// What happened to it.
    pub step: CouponStep,
    /// What it was about: a bid or an order.
    pub reference: String,
    /// The command that did it.
    pub command: CommandId,
    /// When.
    pub at: UnixMs,
}

/// Why no coupon can be made like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImpossibleDiscount {
    /// A rate is 1 to 100 per cent.
    Rate,
    /// A fixed amount is at least 1 won, and at most the highest price: above it, nobody could ever use it.
    Fix,
}

/// A coupon of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    /// Its id.
    pub id: CouponId,
    /// Whose it is.
    pub user: UserId,
    /// What it takes off.
    pub discount: Discount,
    /// Where it stands.
    pub state: CouponState,
}

impl Discount {
    /// A rate of `per_cent`.
    pub fn rate(per_cent: i64) -> Result<Self, ImpossibleDiscount> {
        match u32::try_from(per_cent) {
            Ok(per_cent @ 1..=100) => Ok(Discount::Rate(per_cent)),
            _ => Err(ImpossibleDiscount::Rate),
        }
    }

    /// A fixed amount, in a market where nothing costs more than `max_price`.
    pub fn fix(amount: Won, max_price: Won) -> Result<Self, ImpossibleDiscount> {
        if (Won(1)..=max_price).contains(&amount) { Ok(Discount::Fix(amount)) } else { Err(ImpossibleDiscount::Fix) }
    }

    /// What is left to pay of `price`: never negative, never more than `price`. A rate's result is rounded down.
    pub fn discounted(self, price: Won) -> Won {
        match self {
            Discount::Rate(per_cent) => share(price, 100_u32.saturating_sub(per_cent), 100),
            Discount::Fix(amount) => Won(price.0 - amount.0.clamp(0, price.0.max(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Discount::{Fix, Rate};

    #[test]
    fn a_rate_rounds_what_is_paid_down() {
        assert_eq!(Rate(10).discounted(Won(999)), Won(899));
        assert_eq!(Rate(33).discounted(Won(100)), Won(67));
        assert_eq!(Rate(1).discounted(Won(1)), Won(0));
        assert_eq!(Rate(0).discounted(Won(12_345)), Won(12_345));
        assert_eq!(Rate(100).discounted(Won(12_345)), Won(0));
        assert_eq!(Rate(101).discounted(Won(12_345)), Won(0));
        assert_eq!(Rate(50).discounted(Won(i64::MAX)), Won(i64::MAX / 2));
    }

    #[test]
    fn only_a_coupon_that_can_be_used_can_be_made() {
        assert_eq!((Discount::rate(1), Discount::rate(100)), (Ok(Rate(1)), Ok(Rate(100))));
        for wrong in [i64::MIN, -1, 0, 101, i64::MAX] {
            assert_eq!(Discount::rate(wrong), Err(ImpossibleDiscount::Rate), "{wrong}");
        }
        let max = Won(1_000);
        assert_eq!((Discount::fix(Won(1), max), Discount::fix(max, max)), (Ok(Fix(Won(1))), Ok(Fix(max))));
        for wrong in [i64::MIN, -1, 0, 1_001, i64::MAX] {
            assert_eq!(Discount::fix(Won(wrong), max), Err(ImpossibleDiscount::Fix), "{wrong}");
        }
    }

    #[test]
    fn a_fixed_amount_takes_off_no_more_than_the_price() {
        assert_eq!(Fix(Won(300)).discounted(Won(1_000)), Won(700));
        assert_eq!(Fix(Won(1_000)).discounted(Won(1_000)), Won(0));
        assert_eq!(Fix(Won(1_001)).discounted(Won(1_000)), Won(0));
        assert_eq!(Fix(Won(-5)).discounted(Won(1_000)), Won(1_000));
    }
}
