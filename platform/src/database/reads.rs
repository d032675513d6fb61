//! Where queries are read: from the replica when there is one and it is well, else from the primary.
//!
//! ```text
//! the reader wrote lately ──────────────────────────► primary
//! no replica, it is away, or it lags too far ───────► primary; of several replicas the next one is looked at
//! otherwise ──► replica ──► fails ──────────────────► primary, and nobody asks the replica before it is well again
//!                   └─────► is too slow ────────────► primary, and the replica is looked at soon
//! ```
//! Promises: a replica that fails costs the requests that come before the next look at most `replica_timeout_ms` each, and
//! those after it nothing: one task asks whether it is back. One slow query is nobody else's business. Doesn't: promise that what is read elsewhere is newer than
//! `replica_max_lag_ms`, except for whoever wrote.

use super::{Primary, Trouble, lag::Heartbeat, replica, trouble, within};
use crate::{Shutdown, config::Config, gauges, writers::Writers};
use contracts::UserId;
use sqlx::{MySqlPool, mysql::MySqlConnectOptions};
use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Between two beats, each followed by a look at the replica.
const BEAT_EVERY: Duration = Duration::from_millis(500);

/// A replica that somebody found slow is looked at again after this at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The pools to read from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reads {
    primary: MySqlPool,
    replica: Option<Arc<Replica>>,
}

#[derive(Debug)]
struct Replica {
    pool: MySqlPool,
    /// Those that may be read from, and which one is.
    nodes: Vec<MySqlConnectOptions>,
    place: AtomicUsize,
    /// Which connections are to that one.
    current: Arc<Primary>,
    is_well: AtomicBool,
    /// Somebody found it slow since the last look.
    is_suspect: AtomicBool,
    max_lag: Duration,
    timeout: Duration,
    /// Who must read from the primary for a while.
    writers: Writers,
    writers_read_primary: Duration,
}

impl Reads {
    /// With the replica that is configured, if one is. It is not used before [`Reads::watch`] found it well.
    pub fn new(config: &Config, primary: MySqlPool) -> Result<Self, sqlx::Error> {
        let current = Arc::new(Primary::new());
        let replica = replica::pool(&config.database, current.clone())?.map(|(pool, nodes)| {
            gauges::show_pool("replica", &pool);
            Arc::new(Replica {
                pool,
                nodes,
                place: AtomicUsize::new(0),
                current,
                is_well: AtomicBool::new(false),
                is_suspect: AtomicBool::new(false),
                max_lag: Duration::from_millis(config.database.replica_max_lag_ms),
                timeout: Duration::from_millis(config.database.replica_timeout_ms),
                writers: Writers::new(config.redis.clone()),
                writers_read_primary: Duration::from_millis(config.database.read_your_writes_ms),
            })
        });
        Ok(Self { primary, replica })
    }

    /// `user` is about to write, and may be told of it up to `wait` later: from now until a while after that, their
    /// reads go to the primary, at whichever process they arrive.
    pub async fn note_write(&self, user: UserId, wait: Duration) {
        if let Some(replica) = &self.replica {
            replica.writers.note(user, wait + replica.writers_read_primary).await;
        }
    }

    /// The replica, where `user` (or somebody unknown) may read it now.
    async fn replica_for(&self, user: Option<UserId>) -> Option<&Replica> {
        let replica = self.replica.as_deref().filter(|replica| replica.is_well.load(Ordering::Relaxed))?;
        match user {
            Some(user) if replica.writers.wrote_lately(user).await => None,
            _ => Some(replica),
        }
    }

    /// Runs `query` where it should be read for `user`, and on the primary when the replica cannot answer it.
    pub async fn read<T, F>(&self, user: Option<UserId>, query: impl Fn(MySqlPool) -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        if let Some(replica) = self.replica_for(user).await {
            match within(replica.timeout, query(replica.pool.clone())).await {
                Err(error) if is_slow(&error) => replica.is_suspect.store(true, Ordering::Relaxed),
                Err(error) if trouble(&error) != Trouble::Defect => replica.is_unwell(&error),
                answer => {
                    metrics::counter!("gream_reads_total", "server" => "replica").increment(1);
                    return answer;
                }
            }
        }
        metrics::counter!("gream_reads_total", "server" => "primary").increment(1);
        query(self.primary.clone()).await
    }

    /// Writes the heartbeat and looks at the replica, until shutdown. Ends at once where there is no replica.
    pub async fn watch(&self, shutdown: &Shutdown) {
        let Some(replica) = &self.replica else { return };
        let mut heartbeat = Heartbeat::default();
        while !shutdown.is_requested() {
            // A primary that is away or silent must not keep anybody from looking at the replica.
            if let Ok(Some(beat)) = within(replica.timeout, beat(&self.primary)).await {
                heartbeat.on_primary(beat, Instant::now());
            }
            replica.look(&heartbeat).await;
            let next_beat = Instant::now() + BEAT_EVERY;
            while Instant::now() < next_beat && shutdown.sleep(LOOK_EVERY).await {
                if replica.is_suspect.swap(false, Ordering::Relaxed) {
                    replica.look(&heartbeat).await;
                }
            }
        }
    }
}

impl Replica {
    async fn look(&self, heartbeat: &Heartbeat) {
        let lag = match within(self.timeout, shown(&self.pool)).await {
            Ok(beat) => beat.and_then(|beat| heartbeat.lag(beat)),
            Err(error) => {
                self.is_unwell(&error);
                return self.turn_to_the_next();
            }
        };
        if let Some(lag) = lag {
            metrics::gauge!("gream_replica_lag_seconds").set(lag.as_secs_f64());
        }
        let is_well = lag.is_some_and(|lag| lag <= self.max_lag);
        metrics::gauge!("gream_replica_in_use").set(if is_well { 1.0 } else { 0.0 });
        if self.is_well.swap(is_well, Ordering::Relaxed) != is_well {
            if is_well {
                tracing::info!("queries are read from the replica");
            } else {
                tracing::warn!(?lag, "the replica lags: queries are read from the primary");
            }
        }
    }

    /// The next look is at another one, if there is any.
    fn turn_to_the_next(&self) {
        let next = (self.place.load(Ordering::Relaxed) + 1) % self.nodes.len().max(1);
        if let Some(node) = self.nodes.get(next).filter(|_| self.nodes.len() > 1) {
            self.place.store(next, Ordering::Relaxed);
            self.pool.set_connect_options(node.clone());
            self.current.is_gone();
        }
    }

    fn is_unwell(&self, error: &sqlx::Error) {
        metrics::gauge!("gream_replica_in_use").set(0.0);
        if self.is_well.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "the replica is away: queries are read from the primary");
        }
    }
}

/// Nothing came in time: perhaps for this query alone.
fn is_slow(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Io(error) => error.kind() == ErrorKind::TimedOut,
        _ => false,
    }
}

/// Counts a beat; the newest that is there, which may be another process's.
async fn beat(primary: &MySqlPool) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query!("INSERT INTO replica_heartbeat (id, beat) VALUES (1, 1) ON DUPLICATE KEY UPDATE beat = beat + 1")
        .execute(primary)
        .await?;
    shown(primary).await
}

async fn shown(pool: &MySqlPool) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT beat FROM replica_heartbeat WHERE id = 1").fetch_optional(pool).await
}
