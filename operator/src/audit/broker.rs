//! What lies on the queues, asked of RabbitMQ's management page: what has no outcome yet must be somewhere.

use super::{AuditError, report::Check};
use contracts::topology::{NOTIFIER_QUEUE, REPLAY_QUEUE, Role};
use platform::rabbitmq::QueueFigures;
pub use platform::rabbitmq::{InvalidPage, ManagementPage};
use reqwest::Client;
use std::collections::BTreeMap;

/// Messages by queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queues(BTreeMap<String, u64>);

impl Queues {
    pub(super) async fn ask(http: &Client, page: &ManagementPage) -> Result<Self, AuditError> {
        let queues = page.queues(http).await.map_err(|error| AuditError::Broker(error.to_string()))?;
        Ok(Self(queues.into_iter().map(|QueueFigures { name, messages, .. }| (name, messages)).collect()))
    }

    fn messages(&self, queue: &str) -> u64 {
        self.0.get(queue).copied().unwrap_or(0)
    }

    /// Dead letters by queue.
    pub(super) fn dead_letters(&self) -> BTreeMap<String, u64> {
        Role::ALL.map(|role| (role.dead_letter_queue(), self.messages(&role.dead_letter_queue()))).into()
    }

    /// Messages that are on their way to a worker: every command but dead letters.
    pub(super) fn on_the_way(&self) -> u64 {
        let dead = self.dead_letters();
        self.of_commands().filter(|(name, _)| !dead.contains_key(*name)).map(|(_, messages)| messages).sum()
    }

    fn all(&self) -> u64 {
        self.of_commands().map(|(_, messages)| messages).sum()
    }

    /// Events tell what is booked already: the market may be at rest while users are still being told.
    fn of_commands(&self) -> impl Iterator<Item = (&String, u64)> {
        let dead_events = Role::Notifier.dead_letter_queue();
        let queues = self.0.iter().map(|(name, messages)| (name, *messages));
        queues.filter(move |(name, _)| *name != NOTIFIER_QUEUE && **name != dead_events)
    }
}

/// What must be on a queue, by the database.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// Journaled commands without a row.
    pub(super) without_row: u64,
    /// Suspended commands by role.
    pub(super) suspended: BTreeMap<Role, u64>,
}

/// Compares. More messages than expected is no finding: undecodable dead letters have no row, and repeats are harmless.
pub(super) fn compare(expected: &Expected, queues: &Queues) -> Check {
    let mut check = Check::new(
        "what_has_not_ended_is_on_a_queue",
        "A journaled command without a row is a message on a queue; a suspended command is a dead letter of its role, or \
         lies in the queue 'replay'.",
    );
    check.examined = expected.without_row + expected.suspended.values().sum::<u64>();
    if expected.without_row > queues.all() {
        let lost = expected.without_row - queues.all();
        check.findings.add(format!(
            "{} accepted commands have no row, but only {} messages are on queues: {lost} are lost",
            expected.without_row,
            queues.all()
        ));
    }
    let mut replayed = queues.messages(REPLAY_QUEUE);
    for (role, suspended) in &expected.suspended {
        let dead = queues.messages(&role.dead_letter_queue());
        let missing = suspended.saturating_sub(dead);
        if missing > replayed {
            check
                .findings
                .add(format!("{suspended} commands of role {role} are suspended, but {dead} dead letters lie there"));
        }
        replayed = replayed.saturating_sub(missing);
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(counts: &[(&str, u64)]) -> Queues {
        Queues(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    fn findings(without_row: u64, suspended: &[(Role, u64)], counts: &[(&str, u64)]) -> u64 {
        let expected = Expected { without_row, suspended: suspended.iter().copied().collect() };
        compare(&expected, &queues(counts)).findings.total
    }

    #[test]
    fn what_has_no_row_must_be_on_some_queue() {
        assert_eq!(findings(0, &[], &[]), 0);
        assert_eq!(findings(3, &[], &[("bid.00", 2), ("dead.bid", 1)]), 0);
        assert_eq!(findings(4, &[], &[("bid.00", 2), ("dead.bid", 1)]), 1);
        assert_eq!(findings(1, &[], &[("notifier", 2), ("dead.notifier", 1)]), 1, "events are no commands");
    }

    #[test]
    fn what_is_suspended_must_be_a_dead_letter_of_its_role_or_replayed() {
        let two = [(Role::Payment, 2)];
        assert_eq!(findings(0, &two, &[("dead.payment", 3)]), 0, "one more, undecodable");
        assert_eq!(findings(0, &two, &[("dead.payment", 1), ("replay", 1)]), 0);
        assert_eq!(findings(0, &two, &[("dead.payment", 1), ("dead.refund", 1)]), 1);
        assert_eq!(findings(0, &[(Role::Bid, 1), (Role::Refund, 1)], &[("replay", 1)]), 1, "one replay explains one");
    }

    #[test]
    fn dead_letters_are_not_on_the_way() {
        let queues =
            queues(&[("bid.00", 2), ("dead.bid", 1), ("retry.payment.1000", 3), ("replay", 4), ("notifier", 5)]);
        assert_eq!(queues.on_the_way(), 9);
        assert_eq!(queues.dead_letters()["dead.bid"], 1);
    }
}
