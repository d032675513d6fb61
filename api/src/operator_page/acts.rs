//! Acts on dead letters that take their time: one at a time in a process, as a task; its progress is asked for.
//!
//! Promises: a stop, of the act or of the process, ends it between two letters, none of which is lost; who and why are
//! written down before it begins. Doesn't: go on after a restart; the letters that were left lie where they lay.

use super::{Desk, Refusal, answer::Asked, desk::Hand, selection::Selection, session::Operator};
use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use contracts::UnixMs;
use operator::dlq::{Action, Actor, DlqError, Filter, LetterId, Progress};
use platform::Shutdown;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;

/// Letters a second that a replay sends when nobody says how many.
const USUAL_RATE: u32 = 100;
const MOST_PER_S: u32 = 10_000;
/// Recorded acts that are shown.
const RECORDED: u32 = 30;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedAct {
    /// replay, discard or restore.
    what: String,
    /// Why; it is recorded.
    why: String,
    /// Which letters; not of a restore.
    selection: Option<Selection>,
    /// The discarded letter to restore.
    id: Option<String>,
    /// Letters a second.
    per_second: Option<u32>,
}

/// What is to be done.
#[derive(Clone)]
enum Deed {
    Replay { filter: Filter, per_s: u32 },
    Discard { filter: Filter },
    Restore { id: LetterId },
}

impl Deed {
    fn name(&self) -> &'static str {
        match self {
            Deed::Replay { .. } => "replay",
            Deed::Discard { .. } => "discard",
            Deed::Restore { .. } => "restore",
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// What it came to, as `gream dlq … --json` has it.
    Done(Value),
    /// Why it stopped.
    Failed(String),
}

/// The latest act.
#[derive(Clone)]
struct Act {
    what: &'static str,
    who: String,
    why: String,
    began_at: UnixMs,
    progress: watch::Receiver<Progress>,
    stop: Shutdown,
    end: Arc<OnceLock<End>>,
}

/// How far an act is.
#[derive(Serialize)]
pub(super) struct ActNow {
    what: &'static str,
    who: String,
    why: String,
    began_at: UnixMs,
    progress: Progress,
    is_stopping: bool,
    end: Option<End>,
}

/// The acts of this process.
#[derive(Default)]
pub(super) struct Acts {
    latest: Mutex<Option<Act>>,
}

impl Acts {
    pub(super) fn is_one_under_way(&self) -> bool {
        self.latest().is_some_and(|act| act.end.get().is_none())
    }

    fn latest(&self) -> Option<Act> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Act {
    fn now(self) -> ActNow {
        let Self { what, who, why, began_at, progress, stop, end } = self;
        let progress = *progress.borrow();
        ActNow { what, who, why, began_at, progress, is_stopping: stop.is_requested(), end: end.get().cloned() }
    }
}

/// Begins an act; its progress is told by [`current`].
pub(super) async fn begin(
    State(desk): State<Arc<Desk>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked<AskedAct>,
) -> Result<Response, Refusal> {
    let actor = Actor::new(&operator.login_id, &asked.why)?;
    let deed = deed(asked, desk.api.clock.now())?;
    let hand = desk.hand().await?;
    let act = start(&desk, deed, actor, hand);
    Ok((StatusCode::ACCEPTED, Json(act.now())).into_response())
}

fn deed(asked: AskedAct, now: UnixMs) -> Result<Deed, Refusal> {
    let filter = |selection: Option<Selection>| selection.unwrap_or_default().for_acting(now);
    match asked.what.as_str() {
        "replay" => {
            let per_s = asked.per_second.unwrap_or(USUAL_RATE);
            if !(1..=MOST_PER_S).contains(&per_s) {
                return Err(Refusal::bad(format!("per_second is 1 to {MOST_PER_S}")));
            }
            Ok(Deed::Replay { filter: filter(asked.selection)?, per_s })
        }
        "discard" => Ok(Deed::Discard { filter: filter(asked.selection)? }),
        "restore" => {
            let id = asked.id.unwrap_or_default().parse().map_err(Refusal::bad::<String>)?;
            Ok(Deed::Restore { id })
        }
        _ => Err(Refusal::bad("what is done is replay, discard or restore")),
    }
}

fn start(desk: &Arc<Desk>, deed: Deed, actor: Actor, hand: Hand) -> Act {
    let (sender, progress) = watch::channel(Progress::default());
    let act = Act {
        what: deed.name(),
        who: actor.who().to_owned(),
        why: actor.why().to_owned(),
        began_at: desk.api.clock.now(),
        progress,
        stop: Shutdown::new(),
        end: Arc::default(),
    };
    *desk.acts.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(act.clone());
    let (desk, stop, ending) = (desk.clone(), act.stop.clone(), Ending(act.end.clone()));
    let process = desk.api.shutdown.clone();
    // The process waits for it, and a client that leaves does not end it.
    process.clone().spawn(async move {
        let stopped_with_process = async {
            process.requested().await;
            stop.request();
            std::future::pending().await
        };
        let done = tokio::select! {
            done = carry_out(&desk, &deed, &actor, &sender, &stop) => done,
            done = stopped_with_process => done,
        };
        let told = done.map_or_else(|error| End::Failed(error.to_string()), End::Done);
        // The next one finds its turn free, once this one is told to be over.
        drop(hand);
        ending.tell(told);
    });
    act
}

/// Tells how an act ended, whatever becomes of its task: one that never ends would keep everybody from the dead letters.
struct Ending(Arc<OnceLock<End>>);

impl Ending {
    fn tell(&self, end: End) {
        // Told already: then that holds.
        drop(self.0.set(end));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.0.get().is_none() {
            self.tell(End::Failed("it ended without a word: the process's log says why".to_owned()));
        }
    }
}

async fn carry_out(
    desk: &Desk,
    deed: &Deed,
    actor: &Actor,
    progress: &watch::Sender<Progress>,
    stop: &Shutdown,
) -> Result<Value, DlqError> {
    let told = match deed {
        Deed::Replay { filter, per_s } => {
            serde_json::to_value(desk.letters.replay(filter, actor, *per_s, progress, stop).await?)
        }
        Deed::Discard { filter } => serde_json::to_value(desk.letters.discard(filter, actor, progress, stop).await?),
        Deed::Restore { id } => serde_json::to_value(desk.letters.restore(*id, actor).await?),
    };
    // Plain data with text keys.
    Ok(told.unwrap_or_default())
}

/// The latest act of this process, if there was one.
pub(super) async fn current(State(desk): State<Arc<Desk>>) -> Json<Option<ActNow>> {
    Json(desk.acts.latest().map(Act::now))
}

/// Asks the act under way to stop.
pub(super) async fn stop(State(desk): State<Arc<Desk>>) -> Json<Option<ActNow>> {
    let act = desk.acts.latest();
    if let Some(act) = &act {
        act.stop.request();
    }
    Json(act.map(Act::now))
}

/// What people did, here and on the command line; the latest first.
pub(super) async fn recorded(State(desk): State<Arc<Desk>>) -> Result<Json<Vec<Action>>, Refusal> {
    Ok(Json(desk.letters.actions(RECORDED).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(asked: Value) -> Result<Deed, Refusal> {
        deed(serde_json::from_value(asked).unwrap(), UnixMs(0))
    }

    #[test]
    fn an_act_says_what_and_which() {
        let some = json!({"reason": "out_of_attempts"});
        assert!(matches!(
            read(json!({"what": "replay", "why": "x", "selection": some})),
            Ok(Deed::Replay { per_s: USUAL_RATE, .. })
        ));
        assert!(matches!(read(json!({"what": "discard", "why": "x", "selection": some})), Ok(Deed::Discard { .. })));
        let id = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
        assert!(matches!(read(json!({"what": "restore", "why": "x", "id": id})), Ok(Deed::Restore { .. })));
        for wrong in [
            json!({"what": "replay", "why": "x"}),
            json!({"what": "replay", "why": "x", "selection": some, "per_second": 0}),
            json!({"what": "restore", "why": "x"}),
            json!({"what": "purge", "why": "x", "selection": some}),
        ] {
            assert!(read(wrong).is_err());
        }
    }
}
