//! Sessions: one row a login; both tokens name it, and ending it ends them.
//!
//! What a session is was read at most [`MAX_AGE`] ago: a read of the database for every request would cost more than
//! the request's own work, and this way a logout holds at once in the process that served it and everywhere else
//! within that time.

use crate::{context::Api, envelope::Failure, recent::Recent};
use contracts::{CommandId, ResultCode, UnixMs, UserId};
use rand::RngCore;
use std::time::Duration;
use uuid::Uuid;

/// How long a session read from the database counts as known.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Sessions remembered at once.
const MAX_REMEMBERED: usize = 50_000;

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

#[derive(Clone, Debug)]
enum Known {
    Alive(Session),
    Ended,
}

/// The sessions that were met a moment ago.
pub(crate) struct Sessions(Recent<Uuid, Known>);

impl Sessions {
    pub(crate) fn new() -> Self {
        Self(Recent::new(MAX_REMEMBERED, MAX_AGE))
    }
}

impl Api {
    /// The session with this id, if it has not ended.
    pub(crate) async fn session(&self, id: Uuid) -> Result<Session, Failure> {
        let known = if let Some(known) = self.sessions.0.fresh(&id) {
            known
        } else {
            let read = self.read_session(id).await?;
            // A logout that overtook this read stands.
            self.sessions.0.learn_unless(id, read.clone(), |known| matches!(known, Known::Ended));
            read
        };
        match known {
            Known::Alive(session) if self.clock.now() < session.ends => Ok(session),
            Known::Alive(_) | Known::Ended => Err(ResultCode::LoginRequired.into()),
        }
    }

    async fn read_session(&self, id: Uuid) -> Result<Known, Failure> {
        let read = sqlx::query!(
            "SELECT s.user_id, s.expires_at_ms, s.revoked_at_ms, u.login_id, u.role
             FROM sessions s JOIN users u ON u.user_id = s.user_id WHERE s.session_id = ?",
            id.as_bytes().as_slice()
        );
        let row = self.within(read.fetch_optional(&self.database)).await?;
        Ok(match row {
            Some(row) if row.revoked_at_ms.is_none() => Known::Alive(Session {
                id,
                user: UserId(row.user_id.unsigned_abs()),
                login_id: row.login_id,
                role: Role::stored(&row.role),
                ends: UnixMs(row.expires_at_ms),
            }),
            _ => Known::Ended,
        })
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
        self.sessions.0.learn(id, Known::Ended);
        Ok(())
    }
}
