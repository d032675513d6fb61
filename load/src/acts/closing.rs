//! The market closes: the clients count what they bought and sold.

use crate::{day::Day, person::Person};
use futures_util::{StreamExt, stream};

/// What the crowd's lists say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turnover {
    pub(crate) trades: u64,
    pub(crate) volume_won: i64,
}

/// Adds up everybody's purchases, and holds them against everybody's sales: nobody else trades the run's products.
pub(crate) async fn count(day: &Day, people: &mut [Person]) -> Turnover {
    let counting = stream::iter(people.iter_mut()).map(async |person| {
        let bought = person.list(day, "/api/buy/history/end").await;
        let sold = person.list(day, "/api/sell/history/end").await;
        let volume: i64 = bought.iter().filter_map(|order| order["expectedPrice"].as_i64()).sum();
        (bought.len() as u64, volume, sold.len() as u64)
    });
    let (trades, volume_won, sold) = counting
        .buffer_unordered(day.concurrency)
        .fold((0, 0, 0), async |sums, one| (sums.0 + one.0, sums.1 + one.1, sums.2 + one.2))
        .await;
    if trades != sold {
        day.record.broken(format!("{trades} purchases stand against {sold} sales"));
    }
    Turnover { trades, volume_won }
}
