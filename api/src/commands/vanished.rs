//! Sees a command that was accepted here and is nowhere any more.
//!
//! ```text
//! accepted ──its outcome was heard──────────────────────────────► forgotten
//!    │ after a look's interval: MySQL is asked
//!    ├── it has a row ───────────────────────────────────────────► forgotten; its queue has got so far
//!    │ none, though a younger one of its queue has a row: it was passed
//!    └── still so after commands.vanished_after_ms ──────────────► vanished: told once, by its id
//! ```
//! A queue is first in, first out. What is younger has been met, so what is older was delivered before it: it is in
//! somebody's hands, who will give it back within that time, or it is gone.
//!
//! Promises: bounded; quiet while a queue stands still, however long. Doesn't: know what other instances, or this one in a
//! former life, accepted; bring anything back. docs/runbook/GreamCommandVanished.md says what to do.

use super::{
    backlog::{Backlog, Full, Limits},
    lookup,
};
use crate::context::Shared;
use contracts::{CommandId, UnixMs, UserId, topology::Role};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Accepted commands that are remembered; further ones are only counted.
const MAX_REMEMBERED: usize = 100_000;
/// Of those, asked for in one look; and in one statement.
const MAX_PER_LOOK: usize = 5_000;
const MAX_IDS: usize = 500;
/// For the market's own commands.
const NO_LIMITS: Limits = Limits { of_role: usize::MAX, of_user: usize::MAX };
/// Looks within `commands.vanished_after_ms`.
const LOOKS: u64 = 10;
/// Between two looks while half of `commands.max_unresolved` is under way.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// Two commands that are published so shortly after another may be on their queue the other way round.
const MAY_OVERTAKE_MS: i64 = 2_000;

#[derive(Debug)]
struct Remembered {
    role: Role,
    user: UserId,
    queue: String,
    at: UnixMs,
    passed_since: Option<UnixMs>,
}

#[derive(Debug, Default)]
struct Book {
    remembered: HashMap<CommandId, Remembered>,
    /// When the youngest command that was met on a queue had been accepted.
    reached: HashMap<String, UnixMs>,
    backlog: Backlog,
}

impl Book {
    fn forgets(&mut self, id: CommandId) -> Option<Remembered> {
        let one = self.remembered.remove(&id)?;
        self.backlog.drops(one.role, one.user);
        Some(one)
    }

    fn reaches(&mut self, queue: String, at: UnixMs) {
        let reached = self.reached.entry(queue).or_insert(at);
        *reached = at.max(*reached);
    }
}

/// What was accepted here and not seen again yet.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Mutex<Book>);

/// One that is gone.
#[derive(Debug, PartialEq, Eq)]
struct Vanished {
    id: CommandId,
    role: Role,
    queue: String,
    at: UnixMs,
}

impl Accepted {
    /// It is being sent: before the broker confirms it, for its outcome may be faster. Of one that is repeated the first counts.
    pub(crate) fn note(&self, id: CommandId, (role, user): (Role, UserId), queue: &str, at: UnixMs) {
        let _never = self.admit(id, (role, user), queue, at, NO_LIMITS);
    }

    /// The same, unless so many are under way already that it would only wait.
    pub(crate) fn admit(
        &self,
        id: CommandId,
        (role, user): (Role, UserId),
        queue: &str,
        at: UnixMs,
        limits: Limits,
    ) -> Result<(), Full> {
        let mut book = self.book();
        // One that is under way may always be asked for again.
        if book.remembered.contains_key(&id) {
            return Ok(());
        }
        book.backlog.admits(role, user, limits)?;
        if book.remembered.len() >= MAX_REMEMBERED {
            metrics::counter!("gream_commands_unwatched_total").increment(1);
            return Ok(());
        }
        book.backlog.adds(role, user);
        book.remembered.insert(id, Remembered { role, user, queue: queue.to_owned(), at, passed_since: None });
        Ok(())
    }

    /// The broker has not confirmed it: its client was not told that it is accepted.
    pub(crate) fn is_not_accepted(&self, id: CommandId) {
        self.book().forgets(id);
    }

    /// Whether of some role so many are under way.
    fn is_behind(&self, many: usize) -> bool {
        let book = self.book();
        [Role::Bid, Role::Payment, Role::Refund].iter().any(|role| book.backlog.of_role(*role) >= many)
    }

    /// Its outcome was heard, so a worker has just met it.
    pub(crate) fn heard(&self, id: CommandId) {
        let mut book = self.book();
        if let Some(Remembered { queue, at, .. }) = book.forgets(id) {
            book.reaches(queue, at);
        }
    }

    /// It has a row, written for what was accepted at `at`: perhaps long before this one, which only repeats it.
    fn found(&self, id: CommandId, at: UnixMs) {
        let mut book = self.book();
        if let Some(Remembered { queue, .. }) = book.forgets(id) {
            book.reaches(queue, at);
        }
    }

    /// Those that were accepted before `before`.
    fn silent(&self, before: UnixMs) -> Vec<CommandId> {
        let book = self.book();
        let silent = book.remembered.iter().filter(|(_, one)| one.at < before).map(|(id, _)| *id);
        silent.take(MAX_PER_LOOK).collect()
    }

    /// Those of `without_row` that were passed at least `after_ms` ago. They are forgotten.
    fn vanished(&self, without_row: &[CommandId], now: UnixMs, after_ms: i64) -> Vec<Vanished> {
        let mut book = self.book();
        let Book { remembered, reached, .. } = &mut *book;
        let mut vanished = Vec::new();
        for id in without_row {
            let Some(one) = remembered.get_mut(id) else { continue };
            let is_passed = reached.get(&one.queue).is_some_and(|reached| reached.ms_since(one.at) > MAY_OVERTAKE_MS);
            if is_passed && now.ms_since(*one.passed_since.get_or_insert(now)) >= after_ms {
                vanished.push(*id);
            }
        }
        let told = vanished.into_iter().filter_map(|id| {
            book.forgets(id).map(|Remembered { role, queue, at, .. }| Vanished { id, role, queue, at })
        });
        told.collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until it is dropped.
pub(crate) async fn run(api: Shared) {
    for role in [Role::Bid, Role::Payment, Role::Refund] {
        metrics::counter!("gream_commands_vanished_total", "role" => role.as_str()).increment(0);
    }
    let after_ms = api.config.commands.vanished_after_ms;
    let every = Duration::from_millis(after_ms / LOOKS);
    loop {
        // Outcomes may be lost on the way: then only a look tells that a command has ended, and nobody is refused for that.
        let every =
            if api.accepted.is_behind(api.config.commands.max_unresolved / 2) { LOOK_SOON.min(every) } else { every };
        tokio::time::sleep(every).await;
        // A failure is logged where it is made; the next look asks again.
        if let Ok(without_row) = without_row(&api, every).await {
            let after_ms = i64::try_from(after_ms).unwrap_or(i64::MAX);
            api.accepted.vanished(&without_row, api.clock.now(), after_ms).iter().for_each(tell);
        }
    }
}

async fn without_row(api: &Shared, every: Duration) -> Result<Vec<CommandId>, crate::envelope::Failure> {
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let mut missing = Vec::new();
    for ids in api.accepted.silent(api.clock.now().plus_ms(-every_ms)).chunks(MAX_IDS) {
        let found = api.within(lookup::accepted_at(&api.database, ids)).await?;
        for (id, at) in &found {
            api.accepted.found(*id, *at);
        }
        missing.extend(ids.iter().filter(|id| !found.contains_key(id)));
    }
    Ok(missing)
}

fn tell(vanished: &Vanished) {
    let Vanished { id, role, queue, at } = vanished;
    metrics::counter!("gream_commands_vanished_total", "role" => role.as_str()).increment(1);
    tracing::error!(command = %id, %queue, accepted_at = at.0,
        "an accepted command is nowhere any more: docs/runbook/GreamCommandVanished.md says what to do");
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::UserId;

    const AFTER_MS: i64 = 1_000;

    fn id(name: &str) -> CommandId {
        CommandId::derived(UserId(1), "test", name)
    }

    fn accepted(each: &[(&str, &str, i64)]) -> Accepted {
        let accepted = Accepted::default();
        for (name, queue, at) in each {
            accepted.note(id(name), (Role::Bid, UserId(1)), queue, UnixMs(*at));
        }
        accepted
    }

    #[test]
    fn only_what_was_passed_for_long_has_vanished_and_is_told_once() {
        let accepted = accepted(&[("old", "bid.00", 0), ("young", "bid.00", 10_000)]);
        let look = |now| accepted.vanished(&[id("old")], UnixMs(now), AFTER_MS);
        assert_eq!(look(900_000), [], "nothing is known of its queue");
        accepted.heard(id("young"));
        assert_eq!(look(900_000), [], "it may be in somebody's hands");
        assert_eq!(look(900_999), []);
        let gone = Vanished { id: id("old"), role: Role::Bid, queue: "bid.00".to_owned(), at: UnixMs(0) };
        assert_eq!(look(901_000), [gone]);
        assert_eq!(look(902_000), []);
        assert!(accepted.book().remembered.is_empty());
    }

    #[test]
    fn another_queue_or_a_close_neighbour_proves_nothing() {
        let accepted = accepted(&[("one", "bid.00", 0), ("other", "bid.01", 10_000), ("neighbour", "bid.00", 2_000)]);
        accepted.heard(id("other"));
        accepted.found(id("neighbour"), UnixMs(2_000));
        for now in [10_000, 20_000] {
            assert_eq!(accepted.vanished(&[id("one")], UnixMs(now), AFTER_MS), []);
        }
    }

    #[test]
    fn a_repeated_command_proves_no_more_than_its_first() {
        let accepted = accepted(&[("one", "bid.00", 5_000), ("again", "bid.00", 10_000)]);
        accepted.found(id("again"), UnixMs(0));
        for now in [20_000, 30_000] {
            assert_eq!(accepted.vanished(&[id("one")], UnixMs(now), AFTER_MS), [], "its row is older than both");
        }
    }

    #[test]
    fn what_was_met_is_asked_for_no_more_and_the_young_not_yet() {
        let accepted = accepted(&[("old", "bid.00", 0), ("met", "bid.00", 1), ("young", "bid.00", 5_000)]);
        accepted.heard(id("met"));
        accepted.heard(id("met"));
        assert_eq!(accepted.silent(UnixMs(5_000)), [id("old")]);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let accepted = Accepted::default();
        for n in 0..=MAX_REMEMBERED {
            accepted.note(id(&n.to_string()), (Role::Bid, UserId(1)), "bid.00", UnixMs(0));
        }
        assert_eq!(accepted.book().remembered.len(), MAX_REMEMBERED);
        assert_eq!(accepted.silent(UnixMs(1)).len(), MAX_PER_LOOK);
    }
}
