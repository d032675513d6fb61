//! One command's life, from its rows.

use super::{Life, MAX_ROWS, Step};
use crate::{dlq::word, masked};
use contracts::{CommandId, CommandState, Kind, ResultCode, UnixMs, UserId, topology::Role};
use serde_json::Value;
use sqlx::MySqlPool;

pub(super) async fn read(database: &MySqlPool, id: CommandId) -> Result<Life, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT kind, user_id, state, result_code, data, attempts, accepted_at_ms, updated_at_ms FROM commands
         WHERE command_id = ?",
        &id.bytes()[..]
    )
    .fetch_optional(database)
    .await?;
    let mut steps = Vec::new();
    steps.extend(history(database, id).await?);
    steps.extend(entries(database, id).await?);
    steps.extend(revisions(database, id).await?);
    let outbox = in_outbox(database, id).await?;
    let mut life = match found {
        None => Life {
            id,
            kind: None,
            user: None,
            state: CommandState::Accepted,
            code: None,
            data: Value::Null,
            attempts: 0,
            accepted_at: time_of(id),
            updated_at: None,
            whereabouts: unmet(!outbox.is_empty()),
            steps: Vec::new(),
        },
        Some(row) => {
            let state: CommandState = word(&row.state)?;
            let code = u32::try_from(row.result_code).ok().and_then(ResultCode::from_code);
            Life {
                id,
                whereabouts: whereabouts(state, &row.kind),
                kind: Some(row.kind),
                user: u64::try_from(row.user_id).ok().map(UserId),
                state,
                code: code.filter(|_| state.is_final()).map(ResultCode::name),
                data: serde_json::from_str(&row.data).unwrap_or_default(),
                attempts: row.attempts,
                accepted_at: Some(UnixMs(row.accepted_at_ms)),
                updated_at: Some(UnixMs(row.updated_at_ms)),
                steps: Vec::new(),
            }
        }
    };
    steps.extend(outbox);
    // What is booked bears the command's own time: of one instant this comes first.
    steps.splice(0..0, life.accepted_at.map(|at| step(at, "accepted", life.kind.clone().unwrap_or_default())));
    if let (true, Some(at)) = (life.state.is_final(), life.updated_at) {
        steps.push(step(at, life.state.as_str(), format!("{} {}", life.code.unwrap_or("unknown code"), life.data)));
    }
    steps.sort_by_key(|step| step.at);
    life.steps = steps;
    Ok(life)
}

/// The time in a `UUIDv7`.
fn time_of(id: CommandId) -> Option<UnixMs> {
    let bytes = id.bytes();
    let is_dated = id.0.get_version_num() == 7;
    is_dated.then(|| UnixMs(bytes[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte))))
}

fn unmet(is_in_outbox: bool) -> String {
    if is_in_outbox {
        return "in the outbox: the relay has not sent it yet. Look whether a relay runs".to_owned();
    }
    "no worker has met it: it waits on the queue of its role (a bid's: of its product's partition), in 'replay', or in a \
     dead-letter queue that could not be marked; or nothing was ever accepted under this id"
        .to_owned()
}

fn whereabouts(state: CommandState, kind: &str) -> String {
    let role = kind.parse::<Kind>().ok().map(Role::of);
    let queue = role.map_or_else(|| "its role's queue".to_owned(), |role| role.as_str().to_owned());
    match state {
        CommandState::Accepted => unmet(false),
        CommandState::Executing if role == Some(Role::Bid) => {
            "with a worker, or waiting on its partition's queue after workers ended with it in hand".to_owned()
        }
        CommandState::Executing => {
            format!("with a {queue} worker, or waiting on the queue {queue} after one ended with it in hand")
        }
        CommandState::Retrying => {
            format!("on the retry ladder (retry.{queue}.…), or waiting on the queue {queue} for its next attempt")
        }
        CommandState::Suspended => format!("in dead.{queue}: `gream dlq show` has its error and what to do"),
        CommandState::Done | CommandState::Rejected => "nowhere: it has ended".to_owned(),
        CommandState::Discarded => {
            "nowhere: a person gave it up; `gream dlq restore` brings it back while it is kept".to_owned()
        }
    }
}

fn step(at: UnixMs, what: &str, detail: String) -> Step {
    Step { at, what: what.to_owned(), detail, took_ms: None, by: None }
}

async fn history(database: &MySqlPool, id: CommandId) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT h.what, h.happened_at_ms, h.took_ms, h.attempt, h.seen_by, h.reason, h.detail, h.action_id,
                  a.done_by AS "done_by?", a.why AS "why?"
           FROM command_history h LEFT JOIN operator_actions a ON a.action_id = h.action_id
           WHERE h.command_id = ? ORDER BY h.entry_id LIMIT ?"#,
        &id.bytes()[..],
        MAX_ROWS
    )
    .fetch_all(database)
    .await?;
    let steps = rows.into_iter().map(|row| Step {
        at: UnixMs(row.happened_at_ms),
        what: match (row.what.as_str(), row.attempt) {
            ("failed", Some(attempt)) => format!("attempt {attempt} failed"),
            ("set_aside", _) => format!("dead letter: {}", row.reason.as_deref().unwrap_or("unknown")),
            (what, _) => what.to_owned(),
        },
        detail: match (row.action_id, row.done_by) {
            // Of an operator's own deed the detail is why.
            (Some(action), Some(who)) if row.seen_by == who => format!("{} (action {action})", row.detail),
            (Some(action), Some(who)) => {
                format!("{} (action {action} by {who}: {})", row.detail, row.why.unwrap_or_default())
            }
            _ => row.detail,
        },
        took_ms: row.took_ms.map(i64::from),
        by: Some(row.seen_by),
    });
    Ok(steps.collect())
}

async fn entries(database: &MySqlPool, id: CommandId) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT transfer_no, reason, account, user_id, amount, reference, created_at_ms FROM ledger_entries
         WHERE command_id = ? ORDER BY entry_id LIMIT ?",
        &id.bytes()[..],
        MAX_ROWS
    )
    .fetch_all(database)
    .await?;
    let steps = rows.into_iter().map(|row| {
        let of = if row.user_id == 0 { String::new() } else { format!(" of user {}", row.user_id) };
        step(
            UnixMs(row.created_at_ms),
            "booked",
            format!(
                "{:+} on {}{of} ({} {}, transfer {})",
                row.amount, row.account, row.reason, row.reference, row.transfer_no
            ),
        )
    });
    Ok(steps.collect())
}

async fn revisions(database: &MySqlPool, id: CommandId) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT revision, payload, action_id, made_at_ms FROM command_revisions WHERE command_id = ? ORDER BY revision LIMIT ?",
        &id.bytes()[..],
        MAX_ROWS
    )
    .fetch_all(database)
    .await?;
    let steps = rows.into_iter().map(|row| {
        let payload: Value = serde_json::from_str(&row.payload).unwrap_or_default();
        step(
            UnixMs(row.made_at_ms),
            &format!("revision {}", row.revision),
            format!(
                "{} {} (action {})",
                payload["kind"].as_str().unwrap_or_default(),
                masked(payload["body"].clone()),
                row.action_id
            ),
        )
    });
    Ok(steps.collect())
}

/// What it caused, or itself, where that has not been sent yet. The outbox is nearly always nearly empty.
async fn in_outbox(database: &MySqlPool, id: CommandId) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT exchange_name, routing_key, payload, created_at_ms FROM outbox ORDER BY outbox_id LIMIT ?",
        MAX_ROWS
    )
    .fetch_all(database)
    .await?;
    let name = id.to_string();
    let steps = rows.into_iter().filter(|row| row.payload.contains(&name)).map(|row| {
        step(UnixMs(row.created_at_ms), "waits in the outbox", format!("{} {}", row.exchange_name, row.routing_key))
    });
    Ok(steps.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_id_tells_when_it_was_made_and_a_derived_one_does_not() {
        let fresh = CommandId::fresh(UnixMs(1_700_000_000_000), [7; 10]);
        assert_eq!(time_of(fresh), Some(UnixMs(1_700_000_000_000)));
        assert_eq!(time_of(CommandId::derived(UserId(1), "a", "b")), None);
    }

    #[test]
    fn every_state_says_where_to_look() {
        use CommandState::{Accepted, Discarded, Done, Executing, Rejected, Retrying, Suspended};
        assert!(whereabouts(Retrying, "confirm_charge").contains("retry.payment"));
        assert!(whereabouts(Suspended, "cancel_charge").contains("dead.refund"));
        for state in [Accepted, Executing, Retrying, Suspended, Done, Rejected, Discarded] {
            assert!(!whereabouts(state, "of a newer version").is_empty());
        }
    }
}
