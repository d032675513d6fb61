//! When requests are meant to be sent: open-loop, so that a slow answer keeps nobody from coming.

use rand::{Rng, rngs::StdRng};
use std::time::Duration;

/// Arrivals at `per_s` a second on average, with the gaps of independent clients (exponential), as times since the
/// beginning, until `end`.
pub(crate) fn during(per_s: f64, end: Duration, luck: &mut StdRng) -> Vec<Duration> {
    let mut at = 0.0;
    let mut next = || {
        // Never the logarithm of zero: random() is below 1.
        at -= (1.0 - luck.random::<f64>()).ln() / per_s;
        Duration::from_secs_f64(at)
    };
    std::iter::repeat_with(&mut next).take_while(|at| *at < end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn arrivals_come_in_order_at_the_rate_that_was_asked_for_and_unevenly() {
        let arrivals = during(1_000.0, Duration::from_secs(20), &mut StdRng::seed_from_u64(7));
        assert!(arrivals.is_sorted());
        assert!((19_500..20_500).contains(&arrivals.len()), "{}", arrivals.len());
        // Of exponential gaps, 1 − 1/e are shorter than the mean.
        let short =
            arrivals.windows(2).filter(|pair| pair[1].saturating_sub(pair[0]) < Duration::from_millis(1)).count();
        assert!((12_000..13_400).contains(&short), "{short}");
    }

    #[test]
    fn the_same_luck_gives_the_same_arrivals() {
        let arrivals = || during(50.0, Duration::from_secs(2), &mut StdRng::seed_from_u64(1));
        assert_eq!(arrivals(), arrivals());
    }
}
