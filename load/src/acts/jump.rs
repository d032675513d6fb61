//! Requests that are overtaken by time: nobody's order executes at yesterday's price.
//!
//! Trades at once are valid for some thirty seconds. While clients keep asking, the clock jumps by a minute: whatever
//! was accepted before the jump and is met after it must be refused, and must not be traded.

use crate::{LoadError, clock_file::ClockFile, day::Day, person::Person, plan::Manner};
use contracts::{ResultCode, Side};
use futures_util::{StreamExt, stream};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Longer than a trade at once is valid.
const JUMP: Duration = Duration::from_mins(1);
/// A jump overtakes requests only if a worker notices it before the API does, so it takes a few.
const MAX_JUMPS: u32 = 40;
/// Clients that keep asking during a jump.
const ASKING: usize = 24;
const ASK_FOR: Duration = Duration::from_millis(160);
const JUMP_AFTER: Duration = Duration::from_millis(30);
/// No bid has this price, so nothing is traded either way.
const NOBODYS_PRICE: i64 = 99_999_900;

/// Jumps until `enough` requests were overtaken, or often enough to give up.
pub(crate) async fn jump(day: &Day, clock: &ClockFile, people: &mut [Person], enough: u64) -> Result<(), LoadError> {
    let overtaken = AtomicU64::new(0);
    let Some(product) = day.assortment.ids().next() else { return Ok(()) };
    for _ in 0..MAX_JUMPS {
        let end = Instant::now() + ASK_FOR;
        let asking = stream::iter(people.iter_mut().take(ASKING)).for_each_concurrent(ASKING, async |person| {
            while Instant::now() < end {
                let errand = person.trading(day, Side::Buy, product, NOBODYS_PRICE);
                let ended = person.send(day, Manner::Keyed, errand).await;
                if ended.is_refused(ResultCode::CommandExpired) {
                    overtaken.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let jumping = async {
            tokio::time::sleep(JUMP_AFTER).await;
            clock.advance(JUMP).map_err(LoadError::Clock)
        };
        let ((), jumped) = tokio::join!(asking, jumping);
        jumped?;
        day.progress.at(day.record.accepted());
        if overtaken.load(Ordering::Relaxed) >= enough {
            break;
        }
    }
    Ok(())
}
