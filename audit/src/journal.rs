//! The clients' journal against the `commands` table: every accepted command has exactly one outcome, and it is the
//! one that the client was told.

use super::{AuditError, report::Check, snapshot::Snapshot};
use contracts::{CommandId, CommandState, Kind, UserId, client_journal::Line};
use futures_util::TryStreamExt;
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// A journal longer than this is refused, for it would not fit into memory.
const MAX_LINES: u64 = 5_000_000;

/// What clients were told, by command.
#[derive(Debug, Default)]
pub(super) struct Journal {
    told: HashMap<CommandId, Told>,
    /// Commands about which two answers contradict each other.
    contradictions: Vec<String>,
}

#[derive(Debug)]
struct Told {
    kind: Kind,
    user: UserId,
    outcome: Option<Ending>,
}

#[derive(Clone, Debug, PartialEq)]
struct Ending {
    state: CommandState,
    code: u32,
    data: Value,
}

impl Journal {
    /// Reads `path` to its end. A last line without its end is being written at this moment, and left out.
    pub(super) fn read(path: &Path) -> Result<Self, AuditError> {
        let unreadable = |line: u64, error: String| AuditError::Journal { path: path.to_owned(), line, error };
        let file = File::open(path).map_err(|error| unreadable(0, error.to_string()))?;
        let mut reader = BufReader::new(file);
        let mut journal = Self::default();
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            reader.read_until(b'\n', &mut text).map_err(|error| unreadable(number, error.to_string()))?;
            if text.last() != Some(&b'\n') {
                break;
            }
            if number > MAX_LINES {
                return Err(unreadable(number, format!("more than {MAX_LINES} lines; audit a part of it")));
            }
            journal.note(serde_json::from_slice(&text).map_err(|error| unreadable(number, error.to_string()))?);
        }
        Ok(journal)
    }

    fn note(&mut self, line: Line) {
        let Line { id, kind, user, state, code, data, .. } = line;
        let outcome = state.is_final().then_some(Ending { state, code, data });
        let told = self.told.entry(id).or_insert(Told { kind, user, outcome: None });
        match (&told.outcome, outcome) {
            (Some(first), Some(second)) if *first != second => self.contradictions.push(format!(
                "command {id}: a client was told {} {}, then {} {}",
                first.state.as_str(),
                first.code,
                second.state.as_str(),
                second.code
            )),
            (None, Some(outcome)) => told.outcome = Some(outcome),
            _ => {}
        }
    }
}

/// A row of `commands`.
struct Stored {
    command_id: Vec<u8>,
    kind: String,
    user_id: i64,
    state: String,
    result_code: i32,
    data: String,
}

/// What the comparison leaves: the check, and the journaled commands that have no row.
pub(super) struct Compared {
    pub(super) check: Check,
    pub(super) without_row: Vec<CommandId>,
}

/// Holds the journal against the snapshot.
pub(super) async fn compare(mut journal: Journal, snapshot: &mut Snapshot) -> Result<Compared, sqlx::Error> {
    let mut check = Check::new(
        "journaled_commands_have_one_outcome",
        "Every command that a client's journal says was accepted has one row, of its kind and user, and the outcome that \
         the client was told.",
    );
    check.examined = journal.told.len() as u64;
    for contradiction in std::mem::take(&mut journal.contradictions) {
        check.findings.add(contradiction);
    }
    let mut rows = sqlx::query_as!(
        Stored,
        r#"SELECT command_id, kind, user_id, state, result_code, data AS "data!: String" FROM commands"#
    )
    .fetch(snapshot.connection());
    while let Some(row) = rows.try_next().await? {
        let told = CommandId::from_slice(&row.command_id).and_then(|id| Some((id, journal.told.remove(&id)?)));
        if let Some((id, told)) = told
            && let Some(difference) = difference(&told, &row)
        {
            check.findings.add(format!("command {id}: {difference}"));
        }
    }
    let mut without_row = Vec::new();
    for (id, told) in journal.told {
        match told.outcome {
            Some(outcome) => check.findings.add(format!(
                "command {id} ({}): the client was told {} {}, but nothing is stored",
                told.kind,
                outcome.state.as_str(),
                outcome.code
            )),
            None => without_row.push(id),
        }
    }
    Ok(Compared { check, without_row })
}

fn difference(told: &Told, row: &Stored) -> Option<String> {
    if row.kind != told.kind.as_str() || u64::try_from(row.user_id) != Ok(told.user.0) {
        return Some(format!(
            "journaled as {} of user {}, stored as {} of user {}",
            told.kind, told.user, row.kind, row.user_id
        ));
    }
    let outcome = told.outcome.as_ref()?;
    if row.state != outcome.state.as_str() || u32::try_from(row.result_code) != Ok(outcome.code) {
        return Some(format!(
            "the client was told {} {}, stored is {} {}",
            outcome.state.as_str(),
            outcome.code,
            row.state,
            row.result_code
        ));
    }
    // What a refusal says beside its code is the API's.
    if outcome.state != CommandState::Done {
        return None;
    }
    let same_data = serde_json::from_str::<Value>(&row.data).is_ok_and(|data| data == outcome.data);
    (!same_data).then(|| format!("the client was told {}, stored is {}", outcome.data, row.data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::UnixMs;
    use serde_json::json;
    use std::io::Write;

    fn line(key: &str, state: CommandState, code: u32, data: Value) -> Line {
        let id = CommandId::derived(UserId(7), "buy", key);
        Line { id, kind: Kind::PlaceBuyBid, user: UserId(7), sent_at: UnixMs(1), state, code, data }
    }

    fn told(state: CommandState, code: u32, data: Value) -> Told {
        let mut journal = Journal::default();
        journal.note(line("k", state, code, data));
        journal.told.into_values().next().unwrap()
    }

    fn row(state: &str, code: i32, data: &str) -> Stored {
        Stored {
            command_id: Vec::new(),
            kind: "place_buy_bid".into(),
            user_id: 7,
            state: state.into(),
            result_code: code,
            data: data.into(),
        }
    }

    #[test]
    fn what_was_told_is_what_must_be_stored() {
        let done = told(CommandState::Done, 0, json!({"price": 5, "buyId": 258}));
        assert_eq!(difference(&done, &row("done", 0, r#"{"buyId":258,"price":5}"#)), None);
        assert!(difference(&done, &row("done", 0, r#"{"buyId":514,"price":5}"#)).unwrap().contains("514"));
        assert!(difference(&done, &row("rejected", 1007, "{}")).unwrap().contains("rejected 1007"));
        assert!(difference(&done, &row("executing", 0, "{}")).is_some());
        let other_user = Stored { user_id: 8, ..row("done", 0, "{}") };
        assert!(difference(&done, &other_user).unwrap().contains("user 8"));
        let waiting = told(CommandState::Accepted, 0, Value::Null);
        assert_eq!(difference(&waiting, &row("rejected", 1007, "{}")), None);
    }

    #[test]
    fn two_answers_about_one_command_must_agree() {
        let mut journal = Journal::default();
        journal.note(line("k", CommandState::Accepted, 0, Value::Null));
        journal.note(line("k", CommandState::Done, 0, json!({})));
        journal.note(line("k", CommandState::Done, 0, json!({})));
        assert!(journal.contradictions.is_empty());
        journal.note(line("k", CommandState::Rejected, 1007, json!({})));
        assert_eq!(journal.contradictions.len(), 1);
    }

    #[test]
    fn a_line_that_is_being_written_is_left_out_and_a_broken_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut file = File::create(&path).unwrap();
        writeln!(file, "{}", serde_json::to_string(&line("k", CommandState::Done, 0, json!({}))).unwrap()).unwrap();
        write!(file, "{{\"id\":\"01").unwrap();
        assert_eq!(Journal::read(&path).unwrap().told.len(), 1);
        writeln!(file).unwrap();
        let error = Journal::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
