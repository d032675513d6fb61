//! Counts of what happened lately, by key, over all processes: in Redis, and in this process alone while Redis is away.
//!
//! Promises: counting and the window's end are one atomic step; a window that began ends; nobody waits longer than
//! `redis.timeout_ms`, and while Redis is away only one caller a pause waits at all; memory is bounded.
//! Doesn't: keep counts when Redis comes or goes. A client may then get another window's worth.

use crate::{config::RedisConfig, pause::Pauses, redis_master};
use redis::aio::MultiplexedConnection;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Keys counted in this process while Redis is away.
const MAX_LOCAL_KEYS: usize = 50_000;

/// What is counted, and for how long from its first time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The key, as Redis sees it: put nothing into it that must not be read there.
    pub key: String,
    /// How long it is counted.
    pub length: Duration,
}

/// A count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How often it happened in this window, this time included.
    pub times: u64,
    /// When the window ends.
    pub ends_in: Duration,
}

/// See the module's words.
#[derive(Debug)]
pub struct Counters {
    config: RedisConfig,
    link: tokio::sync::Mutex<Link>,
    local: Mutex<Local>,
}

/// The connection, once there is one.
struct Link {
    connection: Option<MultiplexedConnection>,
    pauses: Pauses,
    next_try: Instant,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("is_open", &self.connection.is_some()).finish_non_exhaustive()
    }
}

impl Counters {
    /// Connects when it is first asked.
    pub fn new(config: RedisConfig) -> Self {
        let link = Link { connection: None, pauses: Pauses::new(), next_try: Instant::now() };
        Self { config, link: tokio::sync::Mutex::new(link), local: Mutex::default() }
    }

    /// Counts one more of each, and says how many there are.
    pub async fn add(&self, windows: &[Window]) -> Vec<Count> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for window in windows {
            let length_ms = u64::try_from(window.length.as_millis()).unwrap_or(u64::MAX);
            pipe.incr(&window.key, 1);
            // Only a key that has no end yet gets one: a window is not stretched by what falls into it.
            pipe.cmd("PEXPIRE").arg(&window.key).arg(length_ms).arg("NX").ignore();
            pipe.pttl(&window.key);
        }
        let answers: Option<Vec<i64>> = self.ask(&pipe).await;
        let Some(answers) = answers.filter(|answers| answers.len() == 2 * windows.len()) else {
            let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
            return windows.iter().map(|window| local.add(window, Instant::now())).collect();
        };
        let counts = answers.chunks_exact(2).map(|pair| Count {
            times: pair[0].unsigned_abs(),
            ends_in: Duration::from_millis(u64::try_from(pair[1]).unwrap_or(0)),
        });
        counts.collect()
    }

    /// Notes `key` for `length`. While Redis is away nothing is noted.
    pub async fn note(&self, key: &str, length: Duration) {
        let mut pipe = redis::pipe();
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        pipe.cmd("SET").arg(key).arg(1).arg("PX").arg(length_ms).ignore();
        self.ask::<()>(&pipe).await;
    }

    /// Whether `key` was noted. While Redis is away nothing was.
    pub async fn is_noted(&self, key: &str) -> bool {
        let mut pipe = redis::pipe();
        pipe.exists(key);
        self.ask::<(bool,)>(&pipe).await.is_some_and(|(noted,)| noted)
    }

    /// The answer, or nothing while Redis is away.
    async fn ask<T: redis::FromRedisValue>(&self, pipe: &redis::Pipeline) -> Option<T> {
        let mut connection = self.connection().await?;
        if let Ok(Ok(answer)) = tokio::time::timeout(self.limit(), pipe.query_async(&mut connection)).await {
            return Some(answer);
        }
        metrics::counter!("gream_counters_away_total").increment(1);
        tracing::warn!("Redis is away; this process counts for itself meanwhile");
        let mut link = self.link.lock().await;
        link.connection = None;
        link.next_try = Instant::now() + link.pauses.next_pause();
        None
    }

    async fn connection(&self) -> Option<MultiplexedConnection> {
        let mut link = self.link.lock().await;
        if link.connection.is_none() && Instant::now() >= link.next_try {
            let connect = async { redis_master::client(&self.config).await?.get_multiplexed_async_connection().await };
            if let Ok(Ok(opened)) = tokio::time::timeout(self.limit(), connect).await {
                link.connection = Some(opened);
                link.pauses = Pauses::new();
            } else {
                link.next_try = Instant::now() + link.pauses.next_pause();
            }
        }
        link.connection.clone()
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }
}

/// The counts of this process.
#[derive(Debug, Default)]
struct Local(HashMap<String, (Instant, u64)>);

impl Local {
    fn add(&mut self, window: &Window, now: Instant) -> Count {
        if self.0.len() >= MAX_LOCAL_KEYS && !self.0.contains_key(&window.key) {
            self.0.retain(|_, (ends, _)| *ends > now);
            if self.0.len() >= MAX_LOCAL_KEYS {
                // A flood of keys while Redis is away: better to count some of it anew than to grow.
                self.0.clear();
            }
        }
        let (ends, times) = self.0.entry(window.key.clone()).or_insert((now + window.length, 0));
        if *ends <= now {
            (*ends, *times) = (now + window.length, 0);
        }
        *times += 1;
        Count { times: *times, ends_in: ends.duration_since(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    const LENGTH: Duration = Duration::from_mins(1);

    fn window(key: &str) -> Window {
        Window { key: key.to_owned(), length: LENGTH }
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_ends_when_it_said_however_often_it_is_asked() {
        let mut local = Local::default();
        for times in 1..=5 {
            let ends_in = Duration::from_secs(70 - 10 * times);
            assert_eq!(local.add(&window("a"), Instant::now()), Count { times, ends_in });
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(local.add(&window("b"), Instant::now()).times, 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(local.add(&window("a"), Instant::now()), Count { times: 1, ends_in: LENGTH });
    }

    #[test]
    fn a_flood_of_keys_does_not_grow_the_memory() {
        let mut local = Local::default();
        let now = Instant::now();
        for n in 0..3 * MAX_LOCAL_KEYS {
            local.add(&window(&n.to_string()), now);
            assert!(local.0.len() <= MAX_LOCAL_KEYS);
        }
    }

    #[tokio::test]
    async fn without_redis_the_process_counts_for_itself() {
        let config = RedisConfig { url: Secret::new("redis://127.0.0.1:9/0"), timeout_ms: 200 };
        let counters = Counters::new(config);
        for times in 1..=3 {
            let counts = counters.add(&[window("a"), window(&format!("b{times}"))]).await;
            assert_eq!(counts.iter().map(|count| count.times).collect::<Vec<_>>(), [times, 1]);
        }
        counters.note("c", LENGTH).await;
        assert!(!counters.is_noted("c").await);
    }
}
