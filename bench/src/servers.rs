//! The servers, asked what they are and how durable: a figure means nothing without it.

use crate::{Failure, machine};
use serde_json::{Value, json};
use sqlx::{MySqlPool, Row};
use std::{collections::BTreeMap, time::Duration};

/// What the servers say of themselves, as names and values.
pub(crate) async fn facts(
    database: &MySqlPool,
    redis_url: &str,
    page: &str,
) -> Result<Vec<(&'static str, Value)>, Failure> {
    let row = sqlx::query(
        "SELECT CAST(VERSION() AS CHAR), CAST(@@version_comment AS CHAR), CAST(@@sync_binlog AS SIGNED), \
         CAST(@@innodb_flush_log_at_trx_commit AS SIGNED), CAST(@@log_bin AS SIGNED), \
         CAST(@@innodb_buffer_pool_size / 1048576 AS SIGNED)",
    )
    .fetch_one(database)
    .await?;
    let (text, number) = (|n| row.try_get::<String, _>(n), |n| row.try_get::<i64, _>(n));
    let http = reqwest::Client::new();
    let ask = async |path: &str| -> Result<Value, Failure> {
        let answer = http.get(format!("{page}/api/{path}")).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    };
    let (overview, queue) = (ask("overview").await?, ask("queues/gream/bid.00").await?);
    let mut redis = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut redis).await?;
    let redis_version =
        info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    Ok(vec![
        ("database_version", json!(format!("{} ({})", text(0)?, text(1)?))),
        ("sync_binlog", json!(number(2)?)),
        ("innodb_flush_log_at_trx_commit", json!(number(3)?)),
        ("log_bin", json!(number(4)?)),
        ("innodb_buffer_pool_mb", json!(number(5)?)),
        ("rabbitmq_version", overview["rabbitmq_version"].clone()),
        ("queue_type", queue["type"].clone()),
        ("redis_version", json!(redis_version)),
        ("cores", json!(cores)),
    ])
}

/// The servers' processes, by name.
#[derive(Clone, Debug)]
pub(crate) struct Pids(Vec<(&'static str, u32)>);

impl Pids {
    /// From `mysql=1 rabbitmq=2 redis=3`.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let pair = |pair: &str| {
            let (name, pid) = pair.split_once('=')?;
            let known = ["mysql", "rabbitmq", "redis"].into_iter().find(|known| *known == name)?;
            Some((known, pid.parse().ok()?))
        };
        let pids: Option<_> = text.split_whitespace().map(pair).collect();
        Ok(Self(pids.ok_or_else(|| format!("not the servers' pids: {text:?}"))?))
    }

    /// The processor time of each so far, and our own.
    pub(crate) fn cpu_times(&self) -> Result<BTreeMap<&'static str, Duration>, Failure> {
        let everybody = self.0.iter().copied().chain([("bench", std::process::id())]);
        everybody.map(|(name, pid)| Ok((name, machine::cpu_time(pid)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_read_by_name_and_nothing_else_is() {
        assert_eq!(Pids::read("mysql=1 redis=3").unwrap().0, [("mysql", 1), ("redis", 3)]);
        assert!(Pids::read("postgres=1").is_err());
        assert!(Pids::read("mysql=x").is_err());
    }
}
