//! A logged-in client: asks, keeps its tokens fresh, and follows its commands to their end.
//!
//! ```text
//! send ─► 200, 4xx: final ────────────────────────► journal ─► answer
//!      ─► 202: journal ─► ask at Location … final ─► journal ─► answer
//!      ─► 503, no answer: wait, send again with the same key (bounded)
//!      ─► 401: log in again, send again (once)
//! ```

use crate::{
    day::Day,
    http::{Answer, Request, Tokens, Unanswered},
    record::name,
};
use contracts::{CommandId, CommandState, Kind, ResultCode, UnixMs, UserId, client_journal::Line};
use futures_util::future::join;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a request is sent again and again before its client gives up: longer than a server is away when an
/// operator restarts it.
const RESEND_LIMIT: Duration = Duration::from_mins(2);
/// Waits between two sends, where the answer named none.
const RESEND_PAUSE: Duration = Duration::from_millis(500);
/// No client waits longer before it sends again, whatever it is told.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a client asks where its command stands.
const FOLLOW_LIMIT: Duration = Duration::from_mins(2);
const FIRST_FOLLOW_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// Login id and password.
#[derive(Clone)]
pub struct Login {
    /// The login id.
    pub login_id: String,
    /// The password. Never printed.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("login_id", &self.login_id).finish_non_exhaustive()
    }
}

/// How a command ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    /// `None`: it never became a command.
    pub(crate) id: Option<CommandId>,
    /// Not final: the client's patience ended first.
    pub(crate) state: CommandState,
    pub(crate) code: u32,
    pub(crate) data: Value,
}

impl Ended {
    /// The data of a command that is done.
    pub(crate) fn done(&self) -> Option<&Value> {
        (self.state == CommandState::Done).then_some(&self.data)
    }

    /// Whether it was refused for this reason.
    pub(crate) fn is_refused(&self, code: ResultCode) -> bool {
        self.code == code.code()
    }

    fn refused(code: u32) -> Self {
        Self { id: None, state: CommandState::Rejected, code, data: Value::Null }
    }
}

/// A client's login.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) user: UserId,
    pub(crate) tokens: Tokens,
    login: Login,
}

impl Session {
    /// Logs in.
    pub(crate) async fn open(day: &Day, login: Login) -> Result<Self, Unanswered> {
        let mut session = Self { user: UserId::SYSTEM, tokens: Tokens::default(), login };
        session.log_in(day).await?;
        Ok(session)
    }

    async fn log_in(&mut self, day: &Day) -> Result<(), Unanswered> {
        let body = json!({"loginId": self.login.login_id, "password": self.login.password});
        let answer = anonymous(day, &Request::post("/api/users/login", body)).await?;
        match (answer.data.get("userId").and_then(Value::as_u64), &answer.tokens.access) {
            (Some(user), Some(_)) => {
                self.user = UserId(user);
                self.tokens = answer.tokens;
            }
            _ => day.record.broken(format!("login of {} was answered {}", self.login.login_id, name(answer.code))),
        }
        Ok(())
    }

    /// Asks, with the tokens.
    pub(crate) async fn ask(&mut self, day: &Day, request: &Request) -> Result<Answer, Unanswered> {
        let mut may_log_in = true;
        loop {
            let answer = persist(day, request, &self.tokens).await?;
            if answer.http == 401 && may_log_in {
                may_log_in = false;
                day.record.refused(answer.code);
                day.record.count(|tally| &mut tally.logins_again);
                self.log_in(day).await?;
                continue;
            }
            if let Some(renewed) = &answer.tokens.access {
                day.record.count(|tally| &mut tally.renewals);
                self.tokens.access = Some(renewed.clone());
            }
            return Ok(answer);
        }
    }

    /// Sends a command, journals what is said about it, and follows it to its end.
    pub(crate) async fn command(&mut self, day: &Day, kind: Kind, request: &Request) -> Ended {
        let began = Instant::now();
        let number = day.pulse.as_ref().map(|pulse| pulse.begins());
        let ended = self.told(day, kind, request).await;
        if let (Some(pulse), Some(number)) = (&day.pulse, number) {
            pulse.ends(number, ended.state == CommandState::Done);
        }
        if ended.id.is_some() {
            day.record.command(kind, ended.state, ended.code, began.elapsed());
        } else {
            day.record.refused(ended.code);
        }
        ended
    }

    /// Sends `request` once more: it is the same command, so the answer must be the same.
    pub(crate) async fn again(&mut self, day: &Day, kind: Kind, request: &Request, first: &Ended) {
        let second = self.told(day, kind, request).await;
        same(day, kind, first, &second);
    }

    /// Sends `request` twice at the same time, on two connections: it is one command, with one outcome.
    pub(crate) async fn twins(&mut self, day: &Day, kind: Kind, request: &Request) -> Ended {
        let mut twin = Self { user: self.user, tokens: self.tokens.clone(), login: self.login.clone() };
        let (first, second) = join(self.command(day, kind, request), twin.told(day, kind, request)).await;
        same(day, kind, &first, &second);
        first
    }

    /// Sends another request under the key of one that has ended: it must be refused.
    pub(crate) async fn other_body(&mut self, day: &Day, kind: Kind, request: &Request) {
        let ended = self.told(day, kind, request).await;
        day.record.refused(ended.code);
        if ended.is_refused(ResultCode::KeyReused) {
            day.record.count(|tally| &mut tally.other_bodies);
        } else {
            day.record.broken(format!("{kind} with another body under a used key: {ended:?}"));
        }
    }

    async fn told(&mut self, day: &Day, kind: Kind, request: &Request) -> Ended {
        let sent_at = now();
        let answer = match self.ask(day, request).await {
            Ok(answer) => answer,
            Err(error) => {
                if request.is_repeatable() {
                    day.record.broken(format!("{kind} got no answer: {error}"));
                }
                return Ended::refused(ResultCode::NotAccepted.code());
            }
        };
        let accepted = answer.http != 503 && answer.code != ResultCode::KeyReused.code();
        let Some(id) = answer.command.filter(|_| accepted) else {
            if answer.http < 300 {
                day.record.broken(format!("{kind} was answered {} without naming its command", answer.http));
            }
            return Ended::refused(answer.code);
        };
        let mut ended = ended(id, &answer);
        day.journal(&self.line(id, kind, sent_at, &ended));
        if answer.http == 202 {
            ended = self.follow(day, id, answer.location.as_deref()).await;
            day.journal(&self.line(id, kind, sent_at, &ended));
        }
        ended
    }

    fn line(&self, id: CommandId, kind: Kind, sent_at: UnixMs, ended: &Ended) -> Line {
        let Ended { state, code, ref data, .. } = *ended;
        Line { id, kind, user: self.user, sent_at, state, code, data: data.clone() }
    }

    /// Asks where the command stands until it has ended.
    async fn follow(&mut self, day: &Day, id: CommandId, location: Option<&str>) -> Ended {
        let mut ended = Ended { id: Some(id), state: CommandState::Accepted, code: 0, data: Value::Null };
        let Some(location) = location else {
            day.record.broken(format!("202 about {id} without a Location"));
            return ended;
        };
        let began = Instant::now();
        let mut pause = FIRST_FOLLOW_PAUSE;
        while began.elapsed() < FOLLOW_LIMIT {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_FOLLOW_PAUSE);
            let Ok(answer) = self.ask(day, &Request::get(location)).await else { continue };
            let Some(state) = state_of(&answer.data) else { continue };
            ended.state = state;
            if state.is_final() {
                let outcome = &answer.data["outcome"];
                ended.code = outcome["code"].as_u64().and_then(|code| u32::try_from(code).ok()).unwrap_or(0);
                ended.data = if state == CommandState::Done { outcome["data"].clone() } else { Value::Null };
            }
            if state.is_final() || state == CommandState::Suspended {
                return ended;
            }
        }
        day.record.broken(format!("command {id} had no outcome within {FOLLOW_LIMIT:?}: {}", ended.state.as_str()));
        ended
    }
}

/// Two answers about one command must agree.
fn same(day: &Day, kind: Kind, first: &Ended, second: &Ended) {
    if first == second {
        day.record.count(|tally| &mut tally.repeats);
    } else {
        day.record.broken(format!("{kind} was sent twice and answered {first:?} and {second:?}"));
    }
}

/// Asks without tokens.
pub(crate) async fn anonymous(day: &Day, request: &Request) -> Result<Answer, Unanswered> {
    persist(day, request, &Tokens::default()).await
}

/// Sends until something other than 503 comes back, where sending again is safe.
async fn persist(day: &Day, request: &Request, tokens: &Tokens) -> Result<Answer, Unanswered> {
    let began = Instant::now();
    loop {
        let answer = day.http.send(request, tokens).await;
        if let Some(pulse) = &day.pulse {
            match &answer {
                Ok(answer) if answer.http >= 500 => pulse.not_now(),
                Ok(_) => {}
                Err(_) => pulse.unanswered(),
            }
        }
        let pause = match &answer {
            // 429: the others' turn. Whoever logs in too often has no key, and is told so.
            Ok(answer) if answer.http == 503 || answer.http == 429 && request.key.is_some() => {
                day.record.count(|tally| &mut tally.not_accepted);
                answer.retry_after.unwrap_or(RESEND_PAUSE)
            }
            // The disk is full, and will not be for ever.
            Ok(answer) if day.pulse.is_some() && answer.code == ResultCode::UploadFailed.code() => {
                day.record.refused(answer.code);
                RESEND_PAUSE
            }
            Ok(_) => return answer,
            Err(_) => {
                day.record.count(|tally| &mut tally.unanswered);
                RESEND_PAUSE
            }
        };
        if began.elapsed() >= RESEND_LIMIT || !request.is_repeatable() {
            return answer;
        }
        tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
    }
}

/// What an answer says about its command.
fn ended(id: CommandId, answer: &Answer) -> Ended {
    let (id, code) = (Some(id), answer.code);
    if answer.http == 202 {
        let state = state_of(&answer.data).unwrap_or(CommandState::Accepted);
        return Ended { id, state, code, data: Value::Null };
    }
    let state = match code {
        0 => CommandState::Done,
        code if code == ResultCode::CommandDiscarded.code() => CommandState::Discarded,
        _ => CommandState::Rejected,
    };
    let data = if state == CommandState::Done { answer.data.clone() } else { Value::Null };
    Ended { id, state, code, data }
}

fn state_of(data: &Value) -> Option<CommandState> {
    data["state"].as_str()?.parse().ok()
}

fn now() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
