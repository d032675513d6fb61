//! Who wrote a moment ago, known to every process: a key with an end of its own in Redis, and a small memory here.
//!
//! Promises: whoever wrote through this process is known to it, also without Redis; while Redis cannot be asked,
//! everybody counts as having written, which costs time and not the truth. Doesn't: survive Redis losing its keys in
//! the few seconds that they live.

use crate::{config::RedisConfig, redis_master};
use contracts::UserId;
use redis::aio::MultiplexedConnection;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Users remembered by this process. Beyond them it forgets all at once, and Redis knows them.
const MAX_REMEMBERED: usize = 50_000;
/// After a failure Redis is left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// A short note does not end a longer one: a like must not hide a charge that is under way.
const SET_FOR_LONGER: &str =
    "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end";

/// See the module's words.
#[derive(Debug)]
pub struct Writers {
    config: RedisConfig,
    here: Mutex<HashMap<UserId, Instant>>,
    redis: tokio::sync::Mutex<Link>,
}

#[derive(Debug)]
struct Link {
    connection: Option<MultiplexedConnection>,
    next_try: Instant,
}

impl Writers {
    /// Connects when it is first needed.
    pub fn new(config: RedisConfig) -> Self {
        let link = Link { connection: None, next_try: Instant::now() };
        Self { config, here: Mutex::default(), redis: tokio::sync::Mutex::new(link) }
    }

    /// `user` counts as having written for `long`, or for as long as was noted before, if that is longer.
    pub async fn note(&self, user: UserId, long: Duration) {
        self.remember(user, Instant::now() + long);
        let milliseconds = u64::try_from(long.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut set = redis::cmd("EVAL");
        set.arg(SET_FOR_LONGER).arg(1).arg(key(user)).arg(milliseconds);
        // When it fails, other processes cannot ask either, and take everybody for a writer.
        self.ask::<()>(set).await;
    }

    /// Whether `user` wrote lately, as far as anybody can tell.
    pub async fn wrote_lately(&self, user: UserId) -> bool {
        if self.remembers(user) {
            return true;
        }
        let mut exists = redis::cmd("EXISTS");
        exists.arg(key(user));
        self.ask::<bool>(exists).await.unwrap_or(true)
    }

    fn remember(&self, user: UserId, until: Instant) {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.len() >= MAX_REMEMBERED {
            let now = Instant::now();
            here.retain(|_, until| now < *until);
            if here.len() >= MAX_REMEMBERED {
                here.clear();
            }
        }
        let known = here.entry(user).or_insert(until);
        *known = until.max(*known);
    }

    fn remembers(&self, user: UserId) -> bool {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.get(&user).is_some_and(|until| Instant::now() < *until)
    }

    /// One question, in bounded time; `None` while Redis cannot be asked.
    async fn ask<T: redis::FromRedisValue>(&self, question: redis::Cmd) -> Option<T> {
        let limit = Duration::from_millis(self.config.timeout_ms);
        let mut connection = self.connection(limit).await?;
        if let Ok(Ok(answer)) = tokio::time::timeout(limit, question.query_async::<T>(&mut connection)).await {
            return Some(answer);
        }
        let mut link = self.redis.lock().await;
        (link.connection, link.next_try) = (None, Instant::now() + LEFT_ALONE);
        None
    }

    async fn connection(&self, limit: Duration) -> Option<MultiplexedConnection> {
        let mut link = self.redis.lock().await;
        if link.connection.is_none() && Instant::now() >= link.next_try {
            let connect = async { redis_master::client(&self.config).await?.get_multiplexed_async_connection().await };
            link.connection = tokio::time::timeout(limit, connect).await.ok().and_then(Result::ok);
            link.next_try = Instant::now() + LEFT_ALONE;
        }
        link.connection.clone()
    }
}

fn key(user: UserId) -> String {
    format!("gream.wrote.{user}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn without_redis() -> Writers {
        Writers::new(RedisConfig { url: Secret::new("redis://127.0.0.1:9/0"), timeout_ms: 100 })
    }

    #[tokio::test]
    async fn without_redis_everybody_counts_as_a_writer() {
        let writers = without_redis();
        writers.note(UserId(1), Duration::from_secs(5)).await;
        assert!(writers.wrote_lately(UserId(1)).await);
        assert!(writers.wrote_lately(UserId(2)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_ends_and_stays_bounded() {
        let writers = without_redis();
        for id in 0..=u64::try_from(MAX_REMEMBERED).unwrap() {
            writers.remember(UserId(id), Instant::now() + Duration::from_secs(1));
        }
        assert!(writers.here.lock().unwrap().len() <= MAX_REMEMBERED);
        writers.remember(UserId(7), Instant::now() + Duration::from_secs(1));
        writers.remember(UserId(7), Instant::now() + Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(999)).await;
        assert!(writers.remembers(UserId(7)), "a shorter note ends no longer one");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!writers.remembers(UserId(7)));
    }
}
