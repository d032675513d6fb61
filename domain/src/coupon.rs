//! Coupons: what they take off a price, and where they stand.
//!
//! ```text
//!              bid placed             bid traded
//! available ──────────────► reserved ────────────► used
//!     │  ▲                     │                    ▲
//!     │  └─ cancelled, expired ┘                    │
//!     └────────────── bought now ───────────────────┘
//! ```

use crate::{share::share, word::words};
use contracts::{CouponId, UserId, Won};

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
    fn a_fixed_amount_takes_off_no_more_than_the_price() {
        assert_eq!(Fix(Won(300)).discounted(Won(1_000)), Won(700));
        assert_eq!(Fix(Won(1_000)).discounted(Won(1_000)), Won(0));
        assert_eq!(Fix(Won(1_001)).discounted(Won(1_000)), Won(0));
        assert_eq!(Fix(Won(-5)).discounted(Won(1_000)), Won(1_000));
    }
}
