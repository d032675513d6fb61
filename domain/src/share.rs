//! Shares of an amount, rounded down to whole won.

use contracts::Won;

/// `amount` × `parts` / `of`, rounded down, without ever leaving the range of 64 bits. More parts than there are
/// count as all of them. `amount` must not be negative.
pub(crate) fn share(amount: Won, parts: u32, of: u32) -> Won {
    let (parts, of) = (i64::from(parts.min(of)), i64::from(of));
    // amount = q × of + r, so the share is q × parts + ⌊r × parts / of⌋: no product exceeds `amount` or `of`².
    let (quotient, remainder) = (amount.0 / of, amount.0 % of);
    Won(quotient * parts + remainder * parts / of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_exact_product_rounded_down(amount in 0..=i64::MAX, parts in 0_u32..=1_000, of in 1_u32..=1_000) {
            let exact = i128::from(amount) * i128::from(parts.min(of)) / i128::from(of);
            prop_assert_eq!(i128::from(share(Won(amount), parts, of).0), exact);
        }
    }
}
