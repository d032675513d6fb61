//! The SQL of the notifier: one transaction a batch.
//!
//! Whoever numbers a user's notifications holds the user's counter until the commit: so numbers have no gaps, and a
//! higher one is never seen before a lower one.

use contracts::{UnixMs, UserId, event::Event};
use platform::{database::within, user_streams::Entry};
use sqlx::{MySqlConnection, MySqlPool, QueryBuilder, Row};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// An event, as far as it is somebody's notification.
#[derive(Clone, Debug)]
pub(super) struct Note {
    key: String,
    users: Vec<UserId>,
    payload: String,
}

impl Note {
    pub(super) fn of(event: &Event, payload: &[u8]) -> Self {
        let users = event.users().into_iter().filter(|user| *user != UserId::SYSTEM).collect();
        Self { key: event.key(), users, payload: String::from_utf8_lossy(payload).into_owned() }
    }
}

/// What a batch came to.
#[derive(Debug, Default)]
pub(super) struct Booked {
    /// Every notification of the batch, by user and number, those included that were there already.
    pub(super) entries: Vec<(UserId, Entry)>,
    /// How many were not.
    pub(super) fresh: u64,
}

type Numbers = HashMap<(String, UserId), i64>;

/// Books `notes`, each once, within `limit` a statement.
pub(super) async fn book(
    database: &MySqlPool,
    limit: Duration,
    now: UnixMs,
    notes: &[Note],
) -> Result<Booked, sqlx::Error> {
    let users: BTreeSet<UserId> = notes.iter().flat_map(|note| note.users.iter().copied()).collect();
    if users.is_empty() {
        return Ok(Booked::default());
    }
    let mut transaction = within(limit, database.begin()).await?;
    let mut last = within(limit, lock_counters(&mut transaction, &users)).await?;
    let mut known = within(limit, known(&mut transaction, notes)).await?;
    let mut fresh = Vec::new();
    let mut entries = Vec::new();
    for note in notes {
        for user in &note.users {
            let number = *known.entry((note.key.clone(), *user)).or_insert_with(|| {
                let counter = last.entry(*user).or_insert(0);
                *counter += 1;
                fresh.push((*user, *counter, note));
                *counter
            });
            entries.push((*user, (number, note.payload.clone())));
        }
    }
    if !fresh.is_empty() {
        within(limit, insert(&mut transaction, now, &fresh)).await?;
        within(limit, write_counters(&mut transaction, &last)).await?;
    }
    within(limit, transaction.commit()).await?;
    entries.sort_unstable_by_key(|(user, (number, _))| (*user, *number));
    Ok(Booked { entries, fresh: fresh.len() as u64 })
}

/// Locks the counters of `users` in their order, made where there were none.
async fn lock_counters(
    connection: &mut MySqlConnection,
    users: &BTreeSet<UserId>,
) -> Result<BTreeMap<UserId, i64>, sqlx::Error> {
    let mut make = QueryBuilder::new("INSERT INTO notification_counters (user_id, last_number, read_number) ");
    make.push_values(users, |mut row, user| {
        row.push_bind(user.0).push_bind(0).push_bind(0);
    });
    // Locks what is there.
    make.push(" ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)");
    make.build().execute(&mut *connection).await?;
    let mut read = QueryBuilder::new("SELECT user_id, last_number FROM notification_counters WHERE user_id IN (");
    let mut list = read.separated(", ");
    for user in users {
        list.push_bind(user.0);
    }
    list.push_unseparated(") ORDER BY user_id FOR UPDATE");
    let rows = read.build().fetch_all(connection).await?;
    rows.iter().map(|row| Ok((UserId(row.try_get::<i64, _>(0)?.unsigned_abs()), row.try_get(1)?))).collect()
}

/// The numbers of what was booked before.
async fn known(connection: &mut MySqlConnection, notes: &[Note]) -> Result<Numbers, sqlx::Error> {
    let mut read = QueryBuilder::new("SELECT event_key, user_id, number FROM notifications WHERE event_key IN (");
    let mut list = read.separated(", ");
    for note in notes {
        list.push_bind(&note.key);
    }
    list.push_unseparated(")");
    let rows = read.build().fetch_all(connection).await?;
    let number = |row: &sqlx::mysql::MySqlRow| {
        let user = UserId(row.try_get::<i64, _>(1)?.unsigned_abs());
        Ok(((row.try_get(0)?, user), row.try_get(2)?))
    };
    rows.iter().map(number).collect()
}

async fn insert(
    connection: &mut MySqlConnection,
    now: UnixMs,
    fresh: &[(UserId, i64, &Note)],
) -> Result<(), sqlx::Error> {
    let mut insert =
        QueryBuilder::new("INSERT INTO notifications (user_id, number, event_key, payload, created_at_ms) ");
    insert.push_values(fresh, |mut row, (user, number, note)| {
        row.push_bind(user.0).push_bind(*number).push_bind(&note.key).push_bind(&note.payload).push_bind(now.0);
    });
    insert.build().execute(connection).await?;
    Ok(())
}

async fn write_counters(connection: &mut MySqlConnection, last: &BTreeMap<UserId, i64>) -> Result<(), sqlx::Error> {
    let mut write = QueryBuilder::new("INSERT INTO notification_counters (user_id, last_number, read_number) ");
    write.push_values(last, |mut row, (user, number)| {
        row.push_bind(user.0).push_bind(*number).push_bind(0);
    });
    write.push(" ON DUPLICATE KEY UPDATE last_number = VALUES(last_number)");
    write.build().execute(connection).await?;
    Ok(())
}
