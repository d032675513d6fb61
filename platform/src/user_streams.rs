//! Users' notifications in Redis: a stream each, whose ids are the numbers that MySQL gave. An accelerator only.
//!
//! Promises: bounded in length and time; nobody waits longer than `redis.timeout_ms` beyond what they asked for; `None`
//! says that Redis could not be asked, and MySQL must be. Doesn't: promise that a stream is whole. Whoever reads compares
//! numbers, which have no gaps in MySQL.

use crate::{config::RedisConfig, pause::Pauses, redis_master};
use contracts::UserId;
use redis::{Value, aio::MultiplexedConnection};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::{sync::OnceCell, time::Instant};

/// One entry: its number, and what stands there.
pub type Entry = (i64, String);

/// The field of an entry that holds the payload.
const FIELD: &str = "event";

/// One connection to the streams. Blocking reads need one of their own: others would wait behind them.
pub struct UserStreams {
    config: RedisConfig,
    database: MySqlPool,
    /// Tells this installation's streams from those of others in the same Redis.
    namespace: OnceCell<String>,
    link: tokio::sync::Mutex<Link>,
}

struct Link {
    connection: Option<MultiplexedConnection>,
    pauses: Pauses,
    next_try: Instant,
}

impl UserStreams {
    /// Connects when it is first asked.
    pub fn new(config: RedisConfig, database: MySqlPool) -> Self {
        let link = Link { connection: None, pauses: Pauses::new(), next_try: Instant::now() };
        Self { config, database, namespace: OnceCell::new(), link: tokio::sync::Mutex::new(link) }
    }

    /// Appends entries, each user's in ascending order, and cuts their streams to `length` entries that live for `kept`.
    /// What a stream has already is left as it is. `false`: Redis is away, or may have taken a part.
    pub async fn append(&self, entries: &[(UserId, Entry)], length: usize, kept: Duration) -> bool {
        let Some(namespace) = self.namespace().await else { return false };
        let mut pipe = redis::pipe();
        for (user, (number, payload)) in entries {
            let key = key(namespace, *user);
            pipe.cmd("XADD").arg(&key).arg("MAXLEN").arg(length).arg(format!("{number}-1")).arg(FIELD).arg(payload);
            pipe.cmd("EXPIRE").arg(&key).arg(kept.as_secs());
        }
        // An entry that is there already is refused as an error of its own.
        pipe.ignore_errors();
        self.ask::<Value>(&pipe, Duration::ZERO).await.is_some()
    }

    /// At most `limit` entries after number `after`, as far as the stream has them.
    pub async fn after(&self, user: UserId, after: i64, limit: i64) -> Option<Vec<Entry>> {
        let namespace = self.namespace().await?;
        let mut pipe = redis::pipe();
        let from = format!("({after}-1");
        pipe.cmd("XRANGE").arg(key(namespace, user)).arg(from).arg("+").arg("COUNT").arg(limit);
        let answers: Vec<Value> = self.ask(&pipe, Duration::ZERO).await?;
        entries(answers.into_iter().next()?)
    }

    /// Of users and the numbers that are known of them: those who have newer ones, and the highest seen. Waits up to
    /// `patience` for the first.
    pub async fn newer(&self, known: &[(UserId, i64)], patience: Duration) -> Option<Vec<(UserId, i64)>> {
        let namespace = self.namespace().await?;
        let keys: Vec<String> = known.iter().map(|(user, _)| key(namespace, *user)).collect();
        let mut pipe = redis::pipe();
        let block_ms = u64::try_from(patience.as_millis()).unwrap_or(0).max(1);
        pipe.cmd("XREAD").arg("COUNT").arg(READ_TOGETHER).arg("BLOCK").arg(block_ms).arg("STREAMS").arg(&keys);
        for (_, number) in known {
            pipe.arg(format!("{number}-1"));
        }
        let answers: Vec<Value> = self.ask(&pipe, patience).await?;
        let streams = match answers.into_iter().next()? {
            Value::Nil => return Some(Vec::new()),
            Value::Array(streams) => streams,
            _ => return None,
        };
        let mut newer = Vec::with_capacity(streams.len());
        for stream in streams {
            let Value::Array(parts) = stream else { return None };
            let mut parts = parts.into_iter();
            let name = text(parts.next()?)?;
            let user = UserId(name.rsplit_once(':')?.1.parse().ok()?);
            let highest = entries(parts.next()?)?.last().map(|(number, _)| *number);
            newer.extend(highest.map(|number| (user, number)));
        }
        Some(newer)
    }

    async fn namespace(&self) -> Option<&String> {
        let read = || async {
            sqlx::query_scalar!(r#"SELECT CONCAT(DATABASE(), '.', created_at_ms) AS "name!: String" FROM installation"#)
                .fetch_one(&self.database)
                .await
        };
        self.namespace.get_or_try_init(read).await.ok()
    }

    async fn ask<T: redis::FromRedisValue>(&self, pipe: &redis::Pipeline, patience: Duration) -> Option<T> {
        let mut connection = self.connection().await?;
        if let Ok(Ok(answer)) = tokio::time::timeout(self.limit() + patience, pipe.query_async(&mut connection)).await {
            return Some(answer);
        }
        tracing::warn!("Redis is away; notifications are read from MySQL meanwhile");
        metrics::counter!("gream_user_streams_away_total").increment(1);
        self.link.lock().await.connection = None;
        None
    }

    /// The connection; nothing between two tries.
    async fn connection(&self) -> Option<MultiplexedConnection> {
        let mut link = self.link.lock().await;
        if link.connection.is_none() && Instant::now() >= link.next_try {
            let connect = async {
                let client = redis_master::client(&self.config).await?;
                // The limit is ours (`ask`): a read that blocks is answered later than others.
                let options = redis::AsyncConnectionConfig::new().set_response_timeout(None);
                client.get_multiplexed_async_connection_with_config(&options).await
            };
            link.connection = tokio::time::timeout(self.limit(), connect).await.ok().and_then(Result::ok);
            if link.connection.is_some() {
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

/// Entries of one stream in one read: only the last one's number is looked at, and the rest comes with the next.
const READ_TOGETHER: usize = 100;

fn key(namespace: &str, user: UserId) -> String {
    format!("gream:{namespace}:notifications:{user}")
}

/// `[[id, [field, value]], …]`
fn entries(value: Value) -> Option<Vec<Entry>> {
    let Value::Array(entries) = value else { return None };
    let entry = |entry| {
        let Value::Array(parts) = entry else { return None };
        let mut parts = parts.into_iter();
        let number = text(parts.next()?)?.split_once('-')?.0.parse().ok()?;
        let Value::Array(fields) = parts.next()? else { return None };
        Some((number, text(fields.into_iter().nth(1)?)?))
    };
    entries.into_iter().map(entry).collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_nonsense_is_none() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |id: &str| Value::Array(vec![bulk(id), Value::Array(vec![bulk(FIELD), bulk("{}")])]);
        assert_eq!(
            entries(Value::Array(vec![entry("7-1"), entry("8-1")])),
            Some(vec![(7, "{}".into()), (8, "{}".into())])
        );
        assert_eq!(entries(Value::Array(vec![entry("x")])), None);
        assert_eq!(entries(Value::Nil), None);
    }
}
