//! Sessions: one row a login; both tokens name it, and ending it ends them.
//!
//! Promises: a logout holds at once, in every process: a session is read after the request came, and never remembered.
//! A read that begins takes along whatever was asked for by then, and a busy API begins one every [`READ_EVERY`] at most:
//! so it asks the database once for many requests, and one that idles waits for nobody. Doesn't: need Redis.

use crate::{context::Api, envelope::Failure};
use contracts::{CommandId, ResultCode, UnixMs, UserId};
use rand::RngCore;
use sqlx::{MySqlPool, QueryBuilder, Row};
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{self, Instant},
};
use uuid::Uuid;

/// Sessions read in one statement.
const MAX_TOGETHER: usize = 128;
/// Reads at once: one that waits for a lost connection does not hold everybody up.
const READERS: usize = 2;
/// From the beginning of one read to the beginning of the next. A statement costs the database and this process as much
/// as a good part of a bid does (docs/performance.md); nobody notices a wait that is shorter than a commit.
const READ_EVERY: Duration = Duration::from_millis(2);

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Administrator,
}

impl Role {
    /// As stored; what is unknown may do least.
    pub(crate) fn stored(word: &str) -> Self {
        if word == "administrator" { Role::Administrator } else { Role::User }
    }
}

/// A live session's facts.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) user: UserId,
    pub(crate) login_id: String,
    pub(crate) role: Role,
    pub(crate) ends: UnixMs,
}

/// A request that waits for its session.
struct Wanted {
    id: Uuid,
    answer: oneshot::Sender<Result<Option<Session>, Failure>>,
}

/// The requests that wait for their sessions.
pub(crate) struct Sessions {
    ask: mpsc::Sender<Wanted>,
    asked: Mutex<Asked>,
}

/// What the readers share: one of them at a time collects the requests of its next read.
struct Asked {
    wanted: mpsc::Receiver<Wanted>,
    /// No read begins before.
    next_read: Instant,
}

impl Asked {
    /// Waits until somebody asks and a read may begin, and takes all that have asked by then; `false` at the end.
    async fn collect(&mut self, together: &mut Vec<Wanted>) -> bool {
        if self.wanted.recv_many(together, MAX_TOGETHER).await == 0 {
            return false;
        }
        time::sleep_until(self.next_read).await;
        while together.len() < MAX_TOGETHER
            && let Ok(wanted) = self.wanted.try_recv()
        {
            together.push(wanted);
        }
        self.next_read = Instant::now() + READ_EVERY;
        true
    }
}

impl Sessions {
    /// For so many requests in flight.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        let (ask, wanted) = mpsc::channel(max_in_flight.max(1));
        Self { ask, asked: Mutex::new(Asked { wanted, next_read: Instant::now() }) }
    }
}

/// Reads the sessions that are asked for, until it is dropped.
pub(crate) async fn run(api: &Api) {
    let readers = (0..READERS).map(|_| read_whatever_is_asked(api));
    futures_util::future::join_all(readers).await;
}

async fn read_whatever_is_asked(api: &Api) {
    let mut wanted = Vec::with_capacity(MAX_TOGETHER);
    while api.sessions.asked.lock().await.collect(&mut wanted).await {
        let ids: Vec<Uuid> = wanted.iter().map(|wanted| wanted.id).collect();
        let read = api.within(living(&api.database, &ids)).await;
        for Wanted { id, answer } in wanted.drain(..) {
            // Whoever left in the meantime needs no answer.
            drop(answer.send(read.as_ref().map(|living| living.get(&id).cloned()).map_err(Clone::clone)));
        }
    }
}

/// Those of `ids` that were not ended, of users that have not left.
async fn living(database: &MySqlPool, ids: &[Uuid]) -> Result<HashMap<Uuid, Session>, sqlx::Error> {
    let Some(filler) = ids.last() else { return Ok(HashMap::new()) };
    let mut read = QueryBuilder::new(
        "SELECT s.session_id, s.user_id, s.expires_at_ms, u.login_id, u.role
         FROM sessions s JOIN users u ON u.user_id = s.user_id
         WHERE s.revoked_at_ms IS NULL AND u.withdrawn_at_ms IS NULL AND s.session_id IN (",
    );
    let mut list = read.separated(", ");
    // Filled up to a power of two: a few texts, each prepared once a connection.
    let fill = ids.len().next_power_of_two() - ids.len();
    for id in ids.iter().chain(std::iter::repeat_n(filler, fill)) {
        list.push_bind(id.as_bytes().to_vec());
    }
    read.push(")");
    let rows = read.build().fetch_all(database).await?;
    let sessions = rows.iter().map(|row| {
        let id = Uuid::from_slice(row.try_get(0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let user = UserId(row.try_get::<i64, _>(1)?.unsigned_abs());
        let role = Role::stored(row.try_get(4)?);
        Ok((id, Session { id, user, login_id: row.try_get(3)?, role, ends: UnixMs(row.try_get(2)?) }))
    });
    sessions.collect()
}

impl Api {
    /// The session with this id, if it has not ended.
    pub(crate) async fn session(&self, id: Uuid) -> Result<Session, Failure> {
        let (answer, read) = oneshot::channel();
        // There is a place for every request in flight.
        self.sessions.ask.try_send(Wanted { id, answer }).map_err(|_| Failure::away())?;
        let session = read.await.map_err(|_| Failure::away())??;
        session.filter(|session| self.clock.now() < session.ends).ok_or(ResultCode::LoginRequired.into())
    }

    /// Begins a session.
    pub(crate) async fn begin_session(&self, user: UserId, ends: UnixMs) -> Result<Uuid, Failure> {
        let now = self.clock.now();
        let mut random = [0; 10];
        rand::rng().fill_bytes(&mut random);
        let id = CommandId::fresh(now, random).0;
        let insert = sqlx::query!(
            "INSERT INTO sessions (session_id, user_id, created_at_ms, expires_at_ms) VALUES (?, ?, ?, ?)",
            id.as_bytes().as_slice(),
            user.0,
            now.0,
            ends.0
        );
        self.within(insert.execute(&self.database)).await?;
        // Whoever signed up a moment ago looks at points that a replica may not have yet.
        self.reads.note_write(user, Duration::ZERO).await;
        Ok(id)
    }

    /// Ends a session for good.
    pub(crate) async fn end_session(&self, id: Uuid) -> Result<(), Failure> {
        let update = sqlx::query!(
            "UPDATE sessions SET revoked_at_ms = ? WHERE session_id = ? AND revoked_at_ms IS NULL",
            self.clock.now().0,
            id.as_bytes().as_slice()
        );
        self.within(update.execute(&self.database)).await?;
        Ok(())
    }
}
