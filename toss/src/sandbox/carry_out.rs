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
    call::{Call, Calls, CancelRequest, Work},
    fault::{Fault, FaultPath, Faults, Target, When},
    journal::{BoundAnswer, Effect, Entry, Journal},
    mix::Mixes,
    render,
    webhooks::{self, Webhooks},
};
use crate::{Class, SecretKey, classify_confirm, client::MAX_IDEMPOTENCY_KEY_LENGTH, refusal::is_our_configuration};
use contracts::UnixMs;
use rand::{Rng, distr::Alphanumeric};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// So many windows that passed are noted under one lock.
const MAX_LAPSED_AT_ONCE: usize = 1_000;

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
    pub(super) mixes: Mixes,
    pub(super) webhooks: Webhooks,
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
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => Waited::Whole,
            () = self.closing() => Waited::UntilClosed,
        }
    }

    /// Completes when the sandbox is closed.
    pub(super) async fn closing(&self) {
        // An error would mean that the sandbox is gone, whose own sender this is.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
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
            // A webhook's fault is never asked for at a call's path.
            None | Some(Fault::Webhook { .. }) => Reaction::Answer(self.finish(call, None)),
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
            Some(Fault::WrongAmount { wrong_amount }) => {
                Reaction::Answer(self.finish(call, None).wrong_by(wrong_amount))
            }
            Some(Fault::Duplicate { duplicates }) => {
                let first = self.finish(call, None);
                Reaction::Answer((0..duplicates).fold(first, |_, _| self.finish(call, None)))
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
        shared.calls.replayed += u64::from(is_replay);
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
    /// The fault that strikes a call: one asked for by name, by the test key's header, or drawn from the path's mix.
    fn strike(&mut self, call: &Call, is_replay: bool) -> Option<Fault> {
        let (payment_key, order_id) = match &call.work {
            Work::LookUp { payment_key } | Work::Cancel(CancelRequest { payment_key, .. }) => {
                (Some(payment_key.as_str()), self.book.get(payment_key).map(|record| record.order_id.as_str()))
            }
            Work::LookUpOrder { order_id } => {
                (self.book.of_order(order_id).map(|record| record.payment_key.as_str()), Some(order_id.as_str()))
            }
            Work::Confirm { payment_key, order_id, .. } => (Some(payment_key.as_str()), Some(order_id.as_str())),
            Work::Transactions(_) | Work::Malformed { .. } => (None, None),
        };
        let path = FaultPath::from(call.work.endpoint());
        let asked_by_header = || {
            let code = call.test_code.clone().filter(|_| !is_replay)?;
            Some(Fault::Code { code, http: 400, effect: false })
        };
        self.faults
            .strike(&Target { path, order_id, payment_key, is_replay })
            .or_else(asked_by_header)
            .or_else(|| self.mixes.draw(path, is_replay))
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
            Work::Cancel(request) => Decision::Change(self.book.cancel(request, random_key("tx"), now)),
            Work::Transactions(query) => {
                Decision::Show(self.book.transactions.page(query).map(|page| Answer::ok(&page)))
            }
            Work::Malformed { refuse, .. } => Decision::Change(Err(refuse.clone())),
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
        let refuses_our_keys = instead.as_ref().is_some_and(|instead| is_our_configuration(&instead.refuse.code));
        let answer = instead.map_or_else(|| own_answer.clone(), |instead| instead.refuse.answer());
        // Asked again, a 5xx is not repeated: the effect answers for itself then. The API key is a part of an idempotency
        // key's scope, so one that is refused has none.
        let to_bind = if answer.http < 500 { &answer } else { &own_answer };
        let bound = call.scope().filter(|_| to_bind.http < 500 && !refuses_our_keys).map(|(path, key)| BoundAnswer {
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

    /// First the journal, then the book, then whoever is to be told.
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
        self.tell(&entry.effect, at);
        Ok(())
    }

    /// Queues the webhooks of an effect.
    fn tell(&mut self, effect: &Effect, now: UnixMs) {
        if !self.webhooks.are_wanted() {
            return;
        }
        let Some(record) = effect.payment_key().and_then(|key| self.book.get(key)) else { return };
        let (order_id, payment_key) = (Some(record.order_id.as_str()), Some(record.payment_key.as_str()));
        for body in webhooks::events(effect, record, now) {
            let target = Target { path: FaultPath::Webhook, order_id, payment_key, is_replay: false };
            let fault = self.faults.strike(&target).or_else(|| self.mixes.draw(FaultPath::Webhook, false));
            self.webhooks.queue(body, fault.as_ref(), now);
        }
    }

    /// Notes the payments whose windows have passed, a bounded number at once.
    pub(super) fn note_lapsed(&mut self, now: UnixMs) -> std::io::Result<()> {
        for _ in 0..MAX_LAPSED_AT_ONCE {
            let Some(effect) = self.book.lapsed(now) else { break };
            self.record(effect, None, now)?;
        }
        Ok(())
    }
}

enum Decision {
    /// Nothing changes.
    Show(Result<Answer, Refuse>),
    Change(Result<Effect, Refuse>),
}

/// A key in the style of Toss's: a prefix and random letters.
pub(super) fn random_key(prefix: &str) -> String {
    let random: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
    format!("{prefix}_{random}")
}

/// The number of a virtual account; `X` marks those of test keys.
pub(super) fn random_account_number() -> String {
    format!("X{:013}", rand::rng().random_range(0..10_000_000_000_000_u64))
}
