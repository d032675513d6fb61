//! Ten thousand clients at once, each with a connection of its own, who follow the retry rules.
//!
//! ```text
//! connect ─► send ─► 200, 4xx ─► ended
//!                ─► 503, 429: wait as long as the answer says (and a little more, each its own) ─► the same key again
//!                ─► no answer: wait a little ─► the same key again
//! ```
//! Promises: each client ends within [`PATIENCE`], and what it sent again is counted by its reason. Doesn't: reuse connections,
//! for these are that many people, not one who asks often.

use crate::{Failure, wire::Wire};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// A client gives up after this.
const PATIENCE: Duration = Duration::from_mins(2);
/// One try may take this long: the API's own limit, and a little.
const TRY_LIMIT: Duration = Duration::from_secs(50);
/// Between two tries where no answer said how long.
const PAUSE: Duration = Duration::from_millis(500);
/// Beside what the answer said: so many who were told the same do not come back at the same moment.
const SPREAD_MS: u64 = 1_500;

/// What became of all.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    pub(crate) took: Duration,
    /// From the common beginning until each knew its outcome, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// How each ended.
    pub(crate) by_status: BTreeMap<u16, usize>,
    /// Why anything was sent again, and how often.
    pub(crate) again: BTreeMap<String, usize>,
    /// Clients who gave up.
    pub(crate) gave_up: usize,
}

/// What became of one.
struct Client {
    ended: Option<(u16, Duration)>,
    again: BTreeMap<String, usize>,
}

/// All at once.
pub(crate) async fn burst(address: &str, requests: Vec<Vec<u8>>) -> Result<Burst, Failure> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (n, request) in requests.into_iter().enumerate() {
        tasks.spawn(client(address.to_owned(), request, began, n as u64));
    }
    let mut burst = Burst::default();
    while let Some(client) = tasks.join_next().await {
        let client = client?;
        match client.ended {
            Some((status, latency)) => {
                *burst.by_status.entry(status).or_default() += 1;
                burst.latencies.push(latency);
            }
            None => burst.gave_up += 1,
        }
        for (reason, times) in client.again {
            *burst.again.entry(reason).or_default() += times;
        }
    }
    burst.took = began.elapsed();
    burst.latencies.sort_unstable();
    Ok(burst)
}

async fn client(address: String, request: Vec<u8>, began: Instant, number: u64) -> Client {
    let mut luck = StdRng::seed_from_u64(number);
    let mut again = BTreeMap::new();
    while began.elapsed() < PATIENCE {
        let (reason, pause) = match tokio::time::timeout(TRY_LIMIT, ask(&address, &request)).await {
            Ok(Ok((status @ (429 | 503), retry_after))) => (status.to_string(), retry_after.unwrap_or(PAUSE)),
            Ok(Ok((status, _))) => return Client { ended: Some((status, began.elapsed())), again },
            Ok(Err(_)) => ("no answer".to_owned(), PAUSE),
            Err(_) => ("no answer in time".to_owned(), PAUSE),
        };
        *again.entry(reason).or_default() += 1;
        tokio::time::sleep(pause + Duration::from_millis(luck.random_range(0..SPREAD_MS))).await;
    }
    Client { ended: None, again }
}

async fn ask(address: &str, request: &[u8]) -> Result<(u16, Option<Duration>), Failure> {
    let mut wire = Wire::connect(address).await?;
    let answer = wire.ask(request).await?;
    Ok((answer.status, answer.retry_after))
}
