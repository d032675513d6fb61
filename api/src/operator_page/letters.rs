//! Dead letters, looked at: nothing is changed.

use super::{
    Desk, Refusal,
    answer::Asked,
    selection::{MAX_LETTERS, Selection},
};
use axum::{
    Json,
    extract::{Path, State},
};
use contracts::{CommandState, UnixMs, UserId};
use operator::{
    dlq::{DryRun, Letter, LetterId, Listing, Predicted, Shown},
    masked,
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Letters that are listed in an answer; the others are counted.
const LISTED: usize = 200;
/// Letters of one command that are shown whole.
const SHOWN: usize = 20;
/// The longest message that is shown; the pipeline's own are far shorter.
const MAX_SHOWN_BYTES: usize = 64 * 1024;

/// A letter in a list.
#[derive(Serialize)]
pub(super) struct Line {
    id: String,
    key: String,
    role: &'static str,
    kind: String,
    user: Option<UserId>,
    reason: String,
    error: String,
    next: String,
    attempts: i64,
    replays: i64,
    revision: i64,
    origin: Option<String>,
    accepted_at: Option<UnixMs>,
    first_failed_at: Option<UnixMs>,
    last_failed_at: Option<UnixMs>,
}

impl From<Letter> for Line {
    fn from(letter: Letter) -> Self {
        Self {
            id: letter.id().to_string(),
            key: letter.key.to_string(),
            role: letter.role.as_str(),
            kind: letter.kind,
            user: letter.user,
            reason: letter.reason,
            error: letter.error,
            next: letter.next,
            attempts: letter.attempts,
            replays: letter.replays,
            revision: letter.revision,
            origin: letter.origin,
            accepted_at: letter.accepted_at,
            first_failed_at: letter.first_failed_at,
            last_failed_at: letter.last_failed_at,
        }
    }
}

/// Some of the letters that are meant.
#[derive(Serialize)]
pub(super) struct Found {
    letters: Vec<Line>,
    more: usize,
    unread: u64,
}

/// One letter, and what is known of it.
#[derive(Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    line: Line,
    prediction: String,
    why: String,
    state: Option<CommandState>,
    body: Value,
}

/// What a replay would come to.
#[derive(Serialize)]
pub(super) struct Foreseen {
    counts: BTreeMap<String, u64>,
    letters: Vec<ForeseenLetter>,
    more: usize,
    unread: u64,
}

#[derive(Serialize)]
struct ForeseenLetter {
    id: String,
    kind: String,
    reason: String,
    prediction: String,
    why: String,
}

/// What there is, by cause.
pub(super) async fn groups(State(desk): State<Arc<Desk>>) -> Result<Json<Listing>, Refusal> {
    let _hand = desk.hand().await?;
    Ok(Json(desk.letters.list(&Selection::default().for_looking(desk.api.clock.now())?).await?))
}

/// The letters of a selection, oldest first.
pub(super) async fn find(
    State(desk): State<Arc<Desk>>,
    Asked(selection): Asked<Selection>,
) -> Result<Json<Found>, Refusal> {
    let filter = selection.for_looking(desk.api.clock.now())?;
    let _hand = desk.hand().await?;
    let (letters, unread) = desk.letters.look(&filter).await?;
    let more = letters.len().saturating_sub(LISTED);
    Ok(Json(Found { letters: letters.into_iter().take(LISTED).map(Line::from).collect(), more, unread }))
}

/// The letters of one command, or the one with this key.
pub(super) async fn show(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Result<Json<Vec<Whole>>, Refusal> {
    let id: LetterId = id.parse().map_err(Refusal::bad::<String>)?;
    let _hand = desk.hand().await?;
    let shown = desk.letters.show(id).await?;
    Ok(Json(shown.into_iter().take(SHOWN).map(whole).collect()))
}

fn whole(Shown { letter, prediction, state }: Shown) -> Whole {
    let body = body(&letter.body);
    Whole { line: letter.into(), prediction: prediction.title(), why: prediction.why().to_owned(), state, body }
}

/// A message without account numbers and the like. In what is no JSON nobody can tell where they are.
fn body(bytes: &[u8]) -> Value {
    let left_out = |what| format!("{} bytes{what}: `gream dlq show` has them", bytes.len()).into();
    if bytes.len() > MAX_SHOWN_BYTES {
        return left_out("");
    }
    serde_json::from_slice(bytes).map_or_else(|_| left_out(" that are no JSON"), masked)
}

/// What a replay of a selection would come to.
pub(super) async fn dry_run(
    State(desk): State<Arc<Desk>>,
    Asked(selection): Asked<Selection>,
) -> Result<Json<Foreseen>, Refusal> {
    let mut filter = selection.for_looking(desk.api.clock.now())?;
    filter.at_most = Some(filter.at_most.unwrap_or(MAX_LETTERS).min(MAX_LETTERS));
    let _hand = desk.hand().await?;
    let DryRun { counts, letters, unread } = desk.letters.dry_run(&filter).await?;
    let more = letters.len().saturating_sub(LISTED);
    Ok(Json(Foreseen { counts, letters: letters.into_iter().take(LISTED).map(foreseen).collect(), more, unread }))
}

fn foreseen(Predicted { id, kind, reason, prediction }: Predicted) -> ForeseenLetter {
    let (title, why) = (prediction.title(), prediction.why().to_owned());
    ForeseenLetter { id: id.to_string(), kind, reason, prediction: title, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_without_what_leads_to_a_voucher() {
        let message = br#"{"kind":"sell_now","body":{"price":500,"picture":{"key":"k-1","sha256":"5e5e"}}}"#;
        let shown = body(message).to_string();
        assert!(shown.contains("500") && !shown.contains("k-1") && !shown.contains("5e5e"), "{shown}");
        assert!(!body(br#"{"account_cipher":"abc"#).to_string().contains("abc"));
        let long = format!("\"{}\"", "x".repeat(MAX_SHOWN_BYTES));
        assert!(body(long.as_bytes()).to_string().len() < 100);
    }
}
