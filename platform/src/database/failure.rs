//! What a database error means for whoever got it.

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server is away, read-only or out of connections: wait, connect anew, try again. Nothing is anybody's fault.
    Away,
    /// A deadlock or a lock wait: roll back, and run the whole handler again at once.
    Contention,
    /// Anything else: the statement or its data.
    Defect,
}

/// Too many connections; shutting down; connection killed; read-only (failover); out of its quorum, or of its group while it
/// commits; and access denied or unknown database: an operator is at work, no command is to blame.
const AWAY: [u16; 21] = [
    1040, 1053, 1077, 1152, 1158, 1159, 1160, 1161, 1180, 1290, 1317, 1792, 1836, 1927, 1047, 1044, 1045, 1049, 1142,
    1698, 3100,
];
/// Deadlock (Galera's certification says this too); lock wait timeout; NOWAIT; refused by Group Replication's certification; and the
/// bid worker's savepoint is gone, with the transaction that it was in.
const CONTENTION: [u16; 5] = [1213, LOCK_WAIT, 3572, 3101, 1305];
/// Lock wait timeout.
const LOCK_WAIT: u16 = 1205;
/// Duplicate key.
const DUPLICATE: u16 = 1062;

fn number(error: &sqlx::Error) -> Option<u16> {
    match error {
        sqlx::Error::Database(database) => {
            database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
        }
        _ => None,
    }
}

/// Classifies `error`.
pub fn trouble(error: &sqlx::Error) -> Trouble {
    match (error, number(error)) {
        (_, Some(number)) if AWAY.contains(&number) => Trouble::Away,
        (_, Some(number)) if CONTENTION.contains(&number) => Trouble::Contention,
        (
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed,
            _,
        ) => Trouble::Away,
        _ => Trouble::Defect,
    }
}

/// Whether a row with this key exists already.
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    number(error) == Some(DUPLICATE)
}

/// Whether somebody else's lock was waited for as long as `lock_wait_timeout_s` allows.
pub fn is_lock_wait(error: &sqlx::Error) -> bool {
    number(error) == Some(LOCK_WAIT)
}
