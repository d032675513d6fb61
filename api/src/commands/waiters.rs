//! The requests of this instance that wait for an outcome.
//!
//! Promises: bounded; a request that leaves, however it leaves, is forgotten; an outcome reaches every request that
//! waits for its command. Doesn't: promise that an outcome comes. Whoever waits brings the patience to stop.

use contracts::{CommandId, Outcome};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// The share of `http.max_in_flight` that may wait for outcomes, in per cent; the rest stays free for requests that
/// only read.
const SHARE_PERCENT: usize = 80;
/// A command that nobody told about for this long is looked up in MySQL, and again after as long: an outcome lost on
/// the way costs time, not the answer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Entry {
    ticket: u64,
    sender: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
struct Waited {
    entries: Vec<Entry>,
    next_look: Instant,
}

#[derive(Debug, Default)]
struct Book {
    next_ticket: u64,
    count: usize,
    by_command: HashMap<CommandId, Waited>,
}

/// Everybody who waits.
#[derive(Debug)]
pub(crate) struct Waiters {
    limit: usize,
    book: Mutex<Book>,
}

/// One request's place among the waiting.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiters: Arc<Waiters>,
    id: CommandId,
    ticket: u64,
    receiver: oneshot::Receiver<Outcome>,
}

impl Waiters {
    /// For an instance that serves `max_in_flight` requests at once.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self { limit: (max_in_flight * SHARE_PERCENT / 100).max(1), book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to wait for the outcome of `id`; `None` when all are taken.
    pub(crate) fn register(self: &Arc<Self>, id: CommandId) -> Option<Waiter> {
        let (sender, receiver) = oneshot::channel();
        let mut book = self.book();
        if book.count >= self.limit {
            return None;
        }
        let ticket = book.next_ticket;
        book.next_ticket += 1;
        book.count += 1;
        metrics::gauge!("gream_commands_waiting").increment(1.0);
        let waited = book
            .by_command
            .entry(id)
            .or_insert_with(|| Waited { entries: Vec::with_capacity(1), next_look: Instant::now() + LOOK_EVERY });
        waited.entries.push(Entry { ticket, sender });
        drop(book);
        Some(Waiter { waiters: self.clone(), id, ticket, receiver })
    }

    /// Hands `outcome` to everybody who waits for it.
    pub(crate) fn deliver(&self, outcome: &Outcome) {
        let waited = {
            let mut book = self.book();
            let waited = book.by_command.remove(&outcome.id);
            book.count -= waited.as_ref().map_or(0, |waited| waited.entries.len());
            waited
        };
        for entry in waited.into_iter().flat_map(|waited| waited.entries) {
            metrics::gauge!("gream_commands_waiting").decrement(1.0);
            // Whoever left in the meantime needs no answer.
            drop(entry.sender.send(outcome.clone()));
        }
    }

    /// The commands to look up now: those that were silent for long, or all of them where outcomes cannot arrive.
    pub(crate) fn to_look_up(&self, all: bool) -> Vec<CommandId> {
        let now = Instant::now();
        let mut book = self.book();
        let due = book.by_command.iter_mut().filter(|(_, waited)| all || waited.next_look <= now);
        due.map(|(id, waited)| {
            waited.next_look = now + LOOK_EVERY;
            *id
        })
        .collect()
    }

    fn forget(&self, id: CommandId, ticket: u64) {
        let mut book = self.book();
        let Some(waited) = book.by_command.get_mut(&id) else { return };
        let before = waited.entries.len();
        waited.entries.retain(|entry| entry.ticket != ticket);
        let gone = before - waited.entries.len();
        if waited.entries.is_empty() {
            book.by_command.remove(&id);
        }
        book.count -= gone;
        drop(book);
        if gone > 0 {
            metrics::gauge!("gream_commands_waiting").decrement(1.0);
        }
    }
}

impl Waiter {
    /// The outcome, or nothing once `patience` has run out.
    pub(crate) async fn outcome(mut self, patience: impl Future<Output = ()>) -> Option<Outcome> {
        tokio::select! {
            outcome = &mut self.receiver => outcome.ok(),
            () = patience => None,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.forget(self.id, self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{CommandState, Fingerprint, ResultCode, UnixMs, UserId};
    use std::future::pending;

    fn id(key: &str) -> CommandId {
        CommandId::derived(UserId(1), "a", key)
    }

    fn outcome(id: CommandId) -> Outcome {
        Outcome {
            id,
            fingerprint: Fingerprint([0; 32]),
            state: CommandState::Done,
            code: ResultCode::Ok,
            data: serde_json::json!({}),
            finished_at: UnixMs(0),
        }
    }

    #[tokio::test]
    async fn everybody_who_waits_for_it_hears_it_once() {
        let waiters = Arc::new(Waiters::new(10));
        let (first, second) = (waiters.register(id("a")).unwrap(), waiters.register(id("a")).unwrap());
        let other = waiters.register(id("b")).unwrap();
        waiters.deliver(&outcome(id("a")));
        waiters.deliver(&outcome(id("a")));
        assert_eq!(first.outcome(pending()).await.unwrap().id, id("a"));
        assert_eq!(second.outcome(pending()).await.unwrap().id, id("a"));
        assert_eq!(other.outcome(async {}).await, None);
        assert_eq!(waiters.book().count, 0);
        assert!(waiters.book().by_command.is_empty());
    }

    #[tokio::test]
    async fn places_are_bounded_and_come_back_when_somebody_leaves() {
        let waiters = Arc::new(Waiters::new(3));
        let (first, second) = (waiters.register(id("a")).unwrap(), waiters.register(id("a")).unwrap());
        assert!(waiters.register(id("b")).is_none());
        drop(first);
        assert!(waiters.register(id("b")).is_some());
        drop(second);
        assert_eq!(waiters.book().count, 0);
        assert!(waiters.book().by_command.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_are_looked_up_each_second_and_all_of_them_while_nothing_can_arrive() {
        let waiters = Arc::new(Waiters::new(10));
        let _waiter = waiters.register(id("a")).unwrap();
        assert!(waiters.to_look_up(false).is_empty());
        assert_eq!(waiters.to_look_up(true), [id("a")]);
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(waiters.to_look_up(false), [id("a")]);
        assert!(waiters.to_look_up(false).is_empty());
    }
}
