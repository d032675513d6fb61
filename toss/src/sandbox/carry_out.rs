//! The way of one call through the sandbox: key, fault, effect, journal, answer.
//!
//! ```text
//! received ─► key in use? 409 ─► fault? ─► (delay) ─► bound answer? repeat it
//!                                                  └► decide ─► journal ─► book ─► answer ─► (hang, reset)
//! ```
//! Promises: what was received is carried out even when the caller hangs up; one lock covers decision, journal and
//! book, so the journal's order is the order of the effects.

use super::{
    Now,
    answer::{Answer, Refuse},
    book::Book,
    fault::{Fault, Faults, Target, When},
    journal::{BoundAnswer, Effect, Entry, Journal},
    render,
};
use crate::{Class, SecretKey, classify_confirm, client::MAX_IDEMPOTENCY_KEY_LENGTH};
use contracts::{UnixMs, Won};
use rand::{Rng, distr::Alphanumeric};
use serde::Serialize;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Toss's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Confirm,
    Payment,
    Order,
    Cancel,
}

/// How often each call arrived with the right key since the sandbox started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Calls {
    confirm: u64,
    payment: u64,
    order: u64,
    cancel: u64,
    /// Calls without the right key, of whatever kind.
    pub(super) unauthorized: u64,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Work {
    LookUp {
        payment_key: String,
    },
    LookUpOrder {
        order_id: String,
    },
    Confirm {
        payment_key: String,
        order_id: String,
        amount: Won,
    },
    Cancel {
        payment_key: String,
        reason: String,
        amount: Option<Won>,
    },
    /// A body that Toss refuses before it looks at the payment.
    Malformed {
        endpoint: Endpoint,
    },
}

impl Work {
    fn endpoint(&self) -> Endpoint {
        match self {
            Work::LookUp { .. } => Endpoint::Payment,
            Work::LookUpOrder { .. } => Endpoint::Order,
            Work::Confirm { .. } => Endpoint::Confirm,
            Work::Cancel { .. } => Endpoint::Cancel,
            Work::Malformed { endpoint } => *endpoint,
        }
    }
}

/// One call, as received.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) path: String,
    pub(super) idempotency_key: Option<String>,
    /// `TossPayments-Test-Code`: answer with this error.
    pub(super) test_code: Option<String>,
}

impl Call {
    /// What an idempotency key is valid for; the method is POST wherever there is a key.
    fn scope(&self) -> Option<(String, String)> {
        self.idempotency_key.as_ref().map(|key| (self.path.clone(), key.clone()))
    }
}

/// What the connection does.
pub(super) enum Reaction {
    Answer(Answer),
    Reset,
}

/// The error that a fault puts in the place of the answer.
struct Instead {
    refuse: Refuse,
    effect: bool,
}

/// A running sandbox.
pub(super) struct Sandbox {
    secret_key: SecretKey,
    now: Now,
    shared: Mutex<Shared>,
    closed: watch::Sender<bool>,
}

/// How a wait ended.
enum Waited {
    Whole,
    UntilClosed,
}

/// What all calls share, behind one lock that is never held while waiting.
pub(super) struct Shared {
    pub(super) book: Book,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    /// The keys of calls that are under way.
    pub(super) processing: HashSet<(String, String)>,
    /// The journal is no longer ours.
    pub(super) closed: bool,
}

impl Sandbox {
    pub(super) fn new(secret_key: SecretKey, now: Now, shared: Shared) -> Self {
        Self { secret_key, now, shared: Mutex::new(shared), closed: watch::Sender::new(false) }
    }

    /// From here on nothing has an effect any more: another sandbox may take the journal up.
    pub(super) fn close(&self) {
        self.shared().closed = true;
        self.closed.send_replace(true);
    }

    async fn wait(&self, ms: u64) -> Waited {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => Waited::Whole,
            _ = closed.wait_for(|closed| *closed) => Waited::UntilClosed,
        }
    }

    pub(super) fn secret_key(&self) -> &SecretKey {
        &self.secret_key
    }

    pub(super) fn now(&self) -> UnixMs {
        (self.now)()
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a call out on a task of its own: like Toss, the sandbox does not notice that a caller has left.
    pub(super) async fn react(self: Arc<Self>, call: Call) -> Reaction {
        tokio::spawn(async move { self.strike_or_answer(&call).await }).await.unwrap_or(Reaction::Reset)
    }

    async fn strike_or_answer(&self, call: &Call) -> Reaction {
        let fault = match self.receive(call) {
            Ok(fault) => fault,
            Err(refuse) => return Reaction::Answer(refuse.answer()),
        };
        match fault {
            None => Reaction::Answer(self.finish(call, None)),
            Some(Fault::Delay { delay_ms }) => match self.wait(delay_ms).await {
                Waited::Whole => Reaction::Answer(self.finish(call, None)),
                Waited::UntilClosed => Reaction::Reset,
            },
            Some(Fault::Hang { hang_ms }) => {
                self.finish(call, None);
                self.wait(hang_ms).await;
                Reaction::Reset
            }
            Some(Fault::Reset { reset }) => {
                self.finish_if(reset == When::After, call);
                Reaction::Reset
            }
            Some(Fault::Status { status, effect, retry_after_s }) => {
                self.finish_if(effect, call);
                Reaction::Answer(Answer::bare(status, retry_after_s))
            }
            Some(Fault::Code { code, http, effect }) => {
                let refuse = Refuse::new(http, &code, "요청하신 오류입니다.");
                Reaction::Answer(self.finish(call, Some(Instead { refuse, effect })))
            }
        }
    }

    /// Counts the call, takes its key into use and finds the fault that strikes it.
    fn receive(&self, call: &Call) -> Result<Option<Fault>, Refuse> {
        let now = self.now();
        let mut guard = self.shared();
        let shared = &mut *guard;
        shared.calls.count(call.work.endpoint());
        let Some((path, key)) = call.scope() else {
            return Ok(shared.strike(call, false));
        };
        if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_LENGTH {
            return Err(Refuse::invalid_idempotency_key());
        }
        let is_replay = shared.book.bound(&path, &key, now).is_some();
        if !shared.processing.insert((path, key)) {
            return Err(Refuse::still_processing());
        }
        Ok(shared.strike(call, is_replay))
    }

    fn finish_if(&self, effect: bool, call: &Call) {
        if effect {
            self.finish(call, None);
        } else if let Some(scope) = call.scope() {
            self.shared().processing.remove(&scope);
        }
    }

    /// Carries the call out and gives its key free.
    fn finish(&self, call: &Call, instead: Option<Instead>) -> Answer {
        let now = self.now();
        let mut shared = self.shared();
        let answer = shared.carry_out(call, instead, now);
        if let Some(scope) = call.scope() {
            shared.processing.remove(&scope);
        }
        answer
    }
}

impl Shared {
    fn strike(&mut self, call: &Call, is_replay: bool) -> Option<Fault> {
        let (payment_key, order_id) = match &call.work {
            Work::LookUp { payment_key } | Work::Cancel { payment_key, .. } => {
                (Some(payment_key.as_str()), self.book.get(payment_key).map(|record| record.order_id.as_str()))
            }
            Work::LookUpOrder { order_id } => {
                (self.book.of_order(order_id).map(|record| record.payment_key.as_str()), Some(order_id.as_str()))
            }
            Work::Confirm { payment_key, order_id, .. } => (Some(payment_key.as_str()), Some(order_id.as_str())),
            Work::Malformed { .. } => (None, None),
        };
        let target = Target { endpoint: call.work.endpoint(), order_id, payment_key, is_replay };
        let asked_by_header = || {
            let code = call.test_code.clone().filter(|_| !is_replay)?;
            Some(Fault::Code { code, http: 400, effect: false })
        };
        self.faults.strike(&target).or_else(asked_by_header)
    }

    fn carry_out(&mut self, call: &Call, instead: Option<Instead>, now: UnixMs) -> Answer {
        if let Some((path, key)) = call.scope()
            && let Some(bound) = self.book.bound(&path, &key, now)
        {
            return bound;
        }
        match self.decide(&call.work, now) {
            Decision::Show(result) => {
                let instead = instead.map(|instead| instead.refuse.answer());
                instead.unwrap_or_else(|| result.unwrap_or_else(|refuse| refuse.answer()))
            }
            Decision::Change(result) => self.change(call, result, instead, now),
        }
    }

    fn decide(&self, work: &Work, now: UnixMs) -> Decision {
        let show = |record: Option<_>| {
            let answer = record.map(|record| Answer::ok(&render::payment(record, now)));
            Decision::Show(answer.ok_or_else(Refuse::no_such_payment))
        };
        match work {
            Work::LookUp { payment_key } => show(self.book.get(payment_key)),
            Work::LookUpOrder { order_id } => show(self.book.of_order(order_id)),
            Work::Confirm { payment_key, order_id, amount } => {
                Decision::Change(self.book.confirm(payment_key, order_id, *amount, now))
            }
            Work::Cancel { payment_key, reason, amount } => {
                Decision::Change(self.book.cancel(payment_key, reason, *amount, random_key("tx")))
            }
            Work::Malformed { .. } => Decision::Change(Err(Refuse::invalid_request())),
        }
    }

    /// Journals and applies what was decided, unless a fault forbids it, and makes the answer.
    fn change(
        &mut self,
        call: &Call,
        decided: Result<Effect, Refuse>,
        instead: Option<Instead>,
        now: UnixMs,
    ) -> Answer {
        let decided = match &instead {
            Some(Instead { refuse, effect: false }) => Err(refuse.clone()),
            _ => decided,
        };
        let (effect, own_answer) = match decided {
            Ok(effect) => {
                let after = self.book.preview(&effect, now);
                let answer = after.map(|record| Answer::ok(&render::payment(&record, now)));
                (effect, answer.unwrap_or_else(|| Refuse::no_such_payment().answer()))
            }
            Err(refuse) => (self.effect_of_refusal(&call.work, &refuse, instead.is_some(), now), refuse.answer()),
        };
        let answer = instead.map_or_else(|| own_answer.clone(), |instead| instead.refuse.answer());
        // Asked again, a 5xx is not repeated: the effect answers for itself then.
        let to_bind = if answer.http < 500 { &answer } else { &own_answer };
        let bound = call.scope().filter(|_| to_bind.http < 500).map(|(path, key)| BoundAnswer {
            key,
            path,
            http: to_bind.http,
            body: to_bind.body.clone(),
        });
        match self.record(effect, bound, now) {
            Ok(()) => answer,
            Err(error) => {
                tracing::error!(%error, "the sandbox's journal cannot be written");
                Answer::bare(500, None)
            }
        }
    }

    /// A refusal that a fault asked for aborts the payment when its code is final, as Toss's own do.
    fn effect_of_refusal(&self, work: &Work, refuse: &Refuse, by_fault: bool, now: UnixMs) -> Effect {
        let aborted = match work {
            Work::Confirm { payment_key, .. } if by_fault && classify_confirm(&refuse.code) == Class::Final => {
                self.book.abort(payment_key, &refuse.code, now)
            }
            _ => None,
        };
        aborted.unwrap_or(Effect::Refused)
    }

    /// First the journal, then the book.
    pub(super) fn record(&mut self, effect: Effect, bound: Option<BoundAnswer>, at: UnixMs) -> std::io::Result<()> {
        if effect == Effect::Refused && bound.is_none() {
            return Ok(());
        }
        if self.closed {
            return Err(std::io::Error::other("the sandbox is closed"));
        }
        let entry = Entry { seq: self.journal.next_seq(), at, effect, bound };
        self.journal.append(&entry)?;
        self.book.apply(&entry);
        Ok(())
    }
}

enum Decision {
    /// Nothing changes.
    Show(Result<Answer, Refuse>),
    Change(Result<Effect, Refuse>),
}

impl Calls {
    fn count(&mut self, endpoint: Endpoint) {
        match endpoint {
            Endpoint::Confirm => self.confirm += 1,
            Endpoint::Payment => self.payment += 1,
            Endpoint::Order => self.order += 1,
            Endpoint::Cancel => self.cancel += 1,
        }
    }
}

/// A key in the style of Toss's: a prefix and random letters.
pub(super) fn random_key(prefix: &str) -> String {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
    format!("{prefix}_{random}")
}
