//! Dead letters as text.

use operator::{
    dlq::{Action, Discarded, DryRun, Edited, Listing, Replayed, Shown},
    moment::{length, utc},
};
use serde_json::Value;
use std::fmt::Write;

/// Letters that a dry run lists; the counts are of all.
const LISTED: usize = 40;

pub(super) fn listing(listing: &Listing) -> String {
    let mut text = format!("{} dead letters, {}\n", listing.letters, utc(listing.taken_at));
    if listing.unread > 0 {
        let _ =
            writeln!(text, "{} more were not read: too many, or in somebody's hands at this moment", listing.unread);
    }
    for group in &listing.groups {
        let age = |ms: Option<i64>| ms.map_or_else(|| "?".to_owned(), length);
        let _ = writeln!(
            text,
            "\n{:>6}  {} {} ({}), failed last {} to {} ago",
            group.letters,
            group.reason,
            group.kind,
            group.role,
            age(group.newest_ms),
            age(group.oldest_ms)
        );
        for (error, count) in &group.errors {
            let _ = writeln!(text, "        {count} × {}", if error.is_empty() { "no error was told" } else { error });
        }
        let _ = writeln!(text, "        such as {}", group.example);
        let _ = writeln!(text, "        {}", group.next);
    }
    text
}

pub(super) fn letters(shown: &[Shown]) -> String {
    let mut text = String::new();
    for Shown { letter, prediction, state } in shown {
        let at = |at: Option<contracts::UnixMs>| at.map_or_else(|| "?".to_owned(), utc);
        let state = state.map_or("none", contracts::CommandState::as_str);
        let _ = writeln!(text, "{} on dead.{} (letter {})", letter.id(), letter.role, letter.key);
        let _ = writeln!(
            text,
            "  {} since {}, {} attempts, last {}",
            letter.reason,
            at(letter.first_failed_at),
            letter.attempts,
            at(letter.last_failed_at)
        );
        let _ = writeln!(text, "  error: {}", letter.error);
        let _ = writeln!(text, "  next: {}", letter.next);
        let _ = writeln!(
            text,
            "  the inbox says: {state}; replayed {} times; revision {}",
            letter.replays, letter.revision
        );
        let _ = writeln!(text, "  a replay {}: {}", prediction.title(), prediction.why());
        for (name, value) in &letter.headers {
            let _ = writeln!(text, "  {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        let body = serde_json::from_slice::<Value>(&letter.body).and_then(|body| serde_json::to_string_pretty(&body));
        let _ = writeln!(text, "{}\n", body.unwrap_or_else(|_| String::from_utf8_lossy(&letter.body).into_owned()));
    }
    text
}

pub(super) fn dry_run(dry_run: &DryRun) -> String {
    let mut text = format!("{} letters; nothing was changed\n", dry_run.letters.len());
    for (title, count) in &dry_run.counts {
        let _ = writeln!(text, "{count:>6}  {title}");
    }
    text.push('\n');
    for letter in dry_run.letters.iter().take(LISTED) {
        let (title, why) = (letter.prediction.title(), letter.prediction.why());
        let _ = writeln!(text, "{}  {:<16} {title}: {why}", letter.id, letter.kind);
    }
    if let Some(more @ 1..) = dry_run.letters.len().checked_sub(LISTED) {
        let _ = writeln!(text, "and {more} more (--json lists all)");
    }
    text
}

pub(super) fn replayed(replayed: &Replayed) -> String {
    let Replayed { action, selected, replayed, is_interrupted, took_ms } = replayed;
    let took = length(i64::try_from(*took_ms).unwrap_or(i64::MAX));
    let end = if *is_interrupted { "; stopped, the others lie where they lay" } else { "" };
    format!("{replayed} of {selected} letters are on their way, in {took} (action {action}){end}")
}

pub(super) fn edited(edited: &Edited) -> String {
    let Edited { action, revision, envelope } = edited;
    let body = serde_json::to_string_pretty(envelope).unwrap_or_default();
    format!("revision {revision} (action {action}); now replay it: gream dlq replay {} --why …\n{body}", envelope.id)
}

pub(super) fn discarded(what: &str, told: &Discarded) -> String {
    let mut text = format!("{} of {} letters are {what} (action {})\n", told.acted_on, told.selected, told.action);
    for (letter, why) in &told.refused {
        let _ = writeln!(text, "left alone: {letter}: {why}");
    }
    text
}

pub(super) fn actions(actions: &[Action]) -> String {
    let mut text = String::new();
    for action in actions {
        let Action { id, what, who, why, selection, begun_at, ended_at, selected, acted_on, failure } = action;
        let count = |count: &Option<i32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        let end = match (ended_at, failure) {
            (None, _) => "runs, or was cut short".to_owned(),
            (Some(_), Some(failure)) => format!("failed: {failure}"),
            (Some(at), None) => format!("took {}", length(at.ms_since(*begun_at))),
        };
        let counts = format!("{} of {}", count(acted_on), count(selected));
        let _ = writeln!(text, "{id:>6}  {}  {what} {counts} by {who}: {why}; {end}", utc(*begun_at));
        let _ = writeln!(text, "        {selection}");
    }
    text
}
