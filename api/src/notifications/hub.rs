//! Who has something newer: one question for all open streams of this process, to Redis, or, while it is away, to MySQL.

use crate::{
    context::Api,
    streams::places::{Followers, Limits},
};
use contracts::UserId;
use platform::{config::NotificationsConfig, user_streams::UserStreams};
use sqlx::{QueryBuilder, Row};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a question to Redis waits for an answer. Whoever joins meanwhile is asked for with the next.
const PATIENCE: Duration = Duration::from_millis(250);
/// MySQL is asked this often even so: what Redis never got is told late, not never.
const ASK_MYSQL_EVERY: Duration = Duration::from_secs(5);
/// Users in one question to MySQL.
const ASKED_TOGETHER: usize = 500;

/// The open streams by user, each with the highest number that is known.
pub(crate) type Hub = Followers<UserId, i64>;

pub(crate) fn hub(config: &NotificationsConfig) -> Arc<Hub> {
    let NotificationsConfig { streams_per_user: of_one, streams_per_process: streams, .. } = *config;
    Followers::new(Limits { streams, of_one, keys: streams })
}

/// Asks until it is dropped.
pub(crate) async fn run(api: &Api) {
    // Reads that wait have a connection of their own.
    let streams = UserStreams::new(api.config.redis.clone(), api.database.clone());
    let while_away = Duration::from_millis(api.config.notifications.poll_ms);
    let mut ask_mysql = Instant::now();
    loop {
        let followed = api.hub.followed();
        metrics::gauge!("gream_notification_streams").set(u32::try_from(api.hub.count()).unwrap_or(u32::MAX));
        if followed.is_empty() {
            api.hub.joined.notified().await;
            continue;
        }
        if let Some(newer) = streams.newer(&followed, PATIENCE).await {
            tell(api, newer);
        } else {
            ask_mysql = ask_mysql.min(Instant::now());
            tokio::time::sleep(while_away).await;
        }
        if Instant::now() >= ask_mysql {
            for users in followed.chunks(ASKED_TOGETHER) {
                if let Ok(newer) = api.within(last_numbers(api, users)).await {
                    tell(api, newer);
                }
            }
            ask_mysql = Instant::now() + ASK_MYSQL_EVERY;
        }
    }
}

fn tell(api: &Api, newer: Vec<(UserId, i64)>) {
    for (user, number) in newer {
        api.hub.tell(&user, number, |known, number| number > known);
    }
}

async fn last_numbers(api: &Api, users: &[(UserId, i64)]) -> Result<Vec<(UserId, i64)>, sqlx::Error> {
    let mut read = QueryBuilder::new("SELECT user_id, last_number FROM notification_counters WHERE user_id IN (");
    let mut list = read.separated(", ");
    for (user, _) in users {
        list.push_bind(user.0);
    }
    list.push_unseparated(")");
    let rows = read.build().fetch_all(&api.database).await?;
    rows.iter().map(|row| Ok((UserId(row.try_get::<i64, _>(0)?.unsigned_abs()), row.try_get(1)?))).collect()
}
