//! The truth about commands: rows of the `commands` table.

use contracts::{CommandId, CommandState, Fingerprint, Outcome, ResultCode, UnixMs, UserId};
use sqlx::{MySqlPool, QueryBuilder};

/// A command's row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: CommandId,
    pub(crate) kind: String,
    pub(crate) user: UserId,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) state: CommandState,
    pub(crate) code: ResultCode,
    pub(crate) data: serde_json::Value,
    pub(crate) attempts: i16,
    pub(crate) accepted_at: UnixMs,
    pub(crate) updated_at: UnixMs,
}

/// A row as stored.
#[derive(sqlx::FromRow)]
struct Stored {
    command_id: Vec<u8>,
    kind: String,
    user_id: i64,
    fingerprint: Vec<u8>,
    state: String,
    result_code: i32,
    data: String,
    attempts: i16,
    accepted_at_ms: i64,
    updated_at_ms: i64,
}

impl Row {
    /// How it ended, if it has.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.state.is_final().then(|| Outcome {
            id: self.id,
            fingerprint: self.fingerprint,
            state: self.state,
            code: self.code,
            data: self.data.clone(),
            finished_at: self.updated_at,
        })
    }
}

impl TryFrom<Stored> for Row {
    type Error = sqlx::Error;

    fn try_from(stored: Stored) -> Result<Self, sqlx::Error> {
        fn readable<T>(column: &str, value: Option<T>) -> Result<T, sqlx::Error> {
            let error = || format!("a newer version wrote commands.{column}; upgrade this process");
            value.ok_or_else(|| sqlx::Error::Decode(error().into()))
        }
        let code = u32::try_from(stored.result_code).ok().and_then(ResultCode::from_code);
        Ok(Row {
            id: readable("command_id", CommandId::from_slice(&stored.command_id))?,
            kind: stored.kind,
            user: UserId(stored.user_id.unsigned_abs()),
            fingerprint: Fingerprint(readable("fingerprint", stored.fingerprint.try_into().ok())?),
            state: readable("state", stored.state.parse().ok())?,
            code: readable("result_code", code)?,
            data: readable("data", serde_json::from_str(&stored.data).ok())?,
            attempts: stored.attempts,
            accepted_at: UnixMs(stored.accepted_at_ms),
            updated_at: UnixMs(stored.updated_at_ms),
        })
    }
}

/// The row of `id`, once a worker has met it.
pub(crate) async fn row(database: &MySqlPool, id: CommandId) -> Result<Option<Row>, sqlx::Error> {
    let bytes = id.bytes();
    let read = sqlx::query_as!(
        Stored,
        "SELECT command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms,
                updated_at_ms
         FROM commands WHERE command_id = ?",
        bytes.as_slice()
    );
    read.fetch_optional(database).await?.map(Row::try_from).transpose()
}

/// Whether what is stored under `id` (its fingerprint `found`) comes from the body that `asked` is the fingerprint of: the
/// same body; or the one that an operator has edited; or one that no worker could read.
pub(crate) async fn comes_from(
    database: &MySqlPool,
    id: CommandId,
    found: Fingerprint,
    asked: Fingerprint,
) -> Result<bool, sqlx::Error> {
    if found == asked || found == Fingerprint::UNKNOWN {
        return Ok(true);
    }
    let (id, asked) = (id.bytes(), asked.0);
    let read = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM command_revisions WHERE command_id = ? AND fingerprint_before = ?",
        id.as_slice(),
        asked.as_slice()
    );
    Ok(read.fetch_one(database).await? > 0)
}

/// The outcomes of those of `ids` that have one. A row that cannot be read is left to whoever asks for it by name.
pub(crate) async fn outcomes(database: &MySqlPool, ids: &[CommandId]) -> Result<Vec<Outcome>, sqlx::Error> {
    let mut read = QueryBuilder::new(
        "SELECT command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms,
                updated_at_ms
         FROM commands WHERE state IN ('done', 'rejected', 'discarded') AND command_id IN (",
    );
    let mut list = read.separated(", ");
    for id in ids {
        list.push_bind(id.bytes().to_vec());
    }
    read.push(")");
    // Its text differs with the number of ids: not worth a place among the prepared statements.
    let rows: Vec<Stored> = read.build_query_as().persistent(false).fetch_all(database).await?;
    Ok(rows.into_iter().filter_map(|stored| Row::try_from(stored).ok()?.outcome()).collect())
}
