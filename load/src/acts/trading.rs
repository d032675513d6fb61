//! The market is open: every client wants something, again and again.

use crate::{day::Day, person::Person};
use futures_util::{StreamExt, stream};
use std::time::{Duration, Instant};

/// However slow the market is, an open market closes after this.
const LONGEST_OPEN: Duration = Duration::from_mins(10);

/// Lets everybody act until `goal` commands were accepted in all.
pub(crate) async fn until(day: &Day, people: &mut [Person], goal: u64) {
    let began = Instant::now();
    trade(day, people, || day.record.accepted() < goal && began.elapsed() < LONGEST_OPEN).await;
    if day.record.accepted() < goal {
        day.record.broken(format!("the market was so slow that it closed after {LONGEST_OPEN:?}"));
    }
}

/// Lets everybody act while the market is `open`. Whoever began something ends it: afterwards no client waits for an
/// outcome.
pub(crate) async fn trade(day: &Day, people: &mut [Person], open: impl Fn() -> bool) {
    let share = people.len().div_ceil(day.concurrency.max(1)).max(1);
    let groups = stream::iter(people.chunks_mut(share));
    groups
        .for_each_concurrent(day.concurrency, async |group| {
            while open() {
                for person in group.iter_mut() {
                    if !open() {
                        break;
                    }
                    person.act(day).await;
                    day.progress.at(day.record.accepted());
                }
            }
        })
        .await;
}
