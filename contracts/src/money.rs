//! Whole won. Money is never a float and never silently wraps.

use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum, ops::Neg};
use utoipa::ToSchema;

/// An amount in whole won; negative only in ledger entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Won(pub i64);

impl Won {
    /// Nothing.
    pub const ZERO: Won = Won(0);

    /// The sum, or `None` past the range of a 64-bit integer.
    pub fn checked_add(self, other: Won) -> Option<Won> {
        self.0.checked_add(other.0).map(Won)
    }

    /// The difference, or `None` past the range of a 64-bit integer.
    pub fn checked_sub(self, other: Won) -> Option<Won> {
        self.0.checked_sub(other.0).map(Won)
    }

    /// Whether this is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl Neg for Won {
    type Output = Won;
    fn neg(self) -> Won {
        Won(-self.0)
    }
}

impl Sum for Won {
    /// Saturates: a sum that left the range is still visibly not zero.
    fn sum<I: Iterator<Item = Won>>(amounts: I) -> Won {
        Won(amounts.fold(0_i64, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl fmt::Display for Won {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
