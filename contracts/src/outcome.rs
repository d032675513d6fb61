//! Outcomes: how a command ended, or where it stands until then.
//!
//! ```text
//! accepted ──► executing ──► done | rejected
//!    │             │  ▲
//!    │             ▼  │
//!    │          retrying ──► suspended ──► (replayed) executing …
//!    └──────────────────────►    └───────► discarded (by a person, with a reason)
//! ```
//! `accepted` has no row yet: it is told from the signed address. Bid commands go from `accepted` to their end in one
//! transaction; only commands that call Toss are ever seen `executing` or `retrying`.

use crate::{envelope::Fingerprint, id::CommandId, result_code::ResultCode, time::UnixMs};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::ToSchema;

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CommandState {
    /// Durable on its queue, not yet met by a worker.
    Accepted,
    /// A worker is at it.
    Executing,
    /// It waits for its next attempt.
    Retrying,
    /// It lies in a dead-letter queue until a person replays or discards it.
    Suspended,
    /// Carried out.
    Done,
    /// Refused, with a result code.
    Rejected,
    /// Given up by a person, with a reason.
    Discarded,
}

impl CommandState {
    /// Whether this is one of the three outcomes, after which nothing changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, CommandState::Done | CommandState::Rejected | CommandState::Discarded)
    }

    /// As in JSON and in the `commands` table.
    pub fn as_str(self) -> &'static str {
        match self {
            CommandState::Accepted => "accepted",
            CommandState::Executing => "executing",
            CommandState::Retrying => "retrying",
            CommandState::Suspended => "suspended",
            CommandState::Done => "done",
            CommandState::Rejected => "rejected",
            CommandState::Discarded => "discarded",
        }
    }
}

impl FromStr for CommandState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use CommandState::{Accepted, Discarded, Done, Executing, Rejected, Retrying, Suspended};
        [Accepted, Executing, Retrying, Suspended, Done, Rejected, Discarded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// A state that this build does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown command state {0:?}: the row was written by a newer version; upgrade this process")]
pub struct UnknownState(pub String);

/// How a command ended. Published to the waiting API instance, and stored in `commands`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// Which command.
    pub id: CommandId,
    /// Of the request that was carried out: whoever sent another body under this id gets 422.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub fingerprint: Fingerprint,
    /// One of the final states.
    pub state: CommandState,
    /// 0 when done, else why it was refused.
    pub code: ResultCode,
    /// The `data` of the REST contract's answer; `{}` when rejected.
    pub data: serde_json::Value,
    /// When it ended.
    pub finished_at: UnixMs,
}

/// What one worker publishes to one API instance after a commit, in one message.
pub type OutcomeBatch = Vec<Outcome>;

/// The Redis channel of the API instance that calls itself `instance`; also the commands' AMQP `reply_to`.
pub fn reply_channel(instance: &str) -> String {
    format!("gream:outcomes:{instance}")
}
