//! From a delivery to a command, or to the reason why it is none.

use contracts::{
    DeadLetterReason, Envelope, PartitionCount,
    envelope::Undecodable,
    topology::{Role, routing_key},
};
use platform::rabbitmq::{Delivered, header_number};

/// A message that was taken from a queue, and what it says.
pub(super) struct Taken {
    /// The message.
    pub(super) delivered: Delivered,
    /// Its command.
    pub(super) content: Result<Envelope, (DeadLetterReason, Undecodable)>,
}

/// Broker deliveries of one message that failed, after which it is suspected of ending the worker that runs it.
const SUSPICIOUS_DELIVERIES: i64 = 2;

impl Taken {
    /// Reads a delivery. `partitions` tells whether it lies on the queue that its command belongs to.
    pub(super) fn read(delivered: Delivered, partitions: PartitionCount) -> Self {
        let content = match Envelope::decode(&delivered.delivery.data) {
            Ok(envelope) if belongs(&envelope, &delivered.queue, partitions) => Ok(envelope),
            Ok(envelope) => {
                let error = format!("a {} does not belong on queue {}", envelope.command.kind(), delivered.queue);
                Err((DeadLetterReason::WrongQueue, Undecodable::Malformed { id: Some(envelope.id), error }))
            }
            Err(error) => Err((reason(&error), error)),
        };
        Self { delivered, content }
    }

    /// Whether it was delivered before: then it runs alone, so that it can hurt nobody else.
    pub(super) fn is_repeated(&self) -> bool {
        self.delivered.delivery.redelivered
    }

    /// Whether workers seem to end while they hold it: then its attempts are counted in MySQL.
    pub(super) fn is_suspicious(&self) -> bool {
        header_number(&self.delivered.delivery, "x-delivery-count").is_some_and(|count| count >= SUSPICIOUS_DELIVERIES)
    }

    /// The API instance that waits for its outcome.
    pub(super) fn reply_to(&self) -> Option<&str> {
        self.delivered.delivery.properties.reply_to().as_ref().map(lapin::types::ShortString::as_str)
    }
}

fn belongs(envelope: &Envelope, queue: &str, partitions: PartitionCount) -> bool {
    Role::of(envelope.command.kind()) == Role::Bid
        && routing_key(&envelope.command, partitions).as_deref() == Some(queue)
}

fn reason(error: &Undecodable) -> DeadLetterReason {
    match error {
        Undecodable::UnknownKind { .. } => DeadLetterReason::UnknownKind,
        Undecodable::UnknownVersion { .. } => DeadLetterReason::UnknownVersion,
        Undecodable::Malformed { .. } | Undecodable::FingerprintMismatch { .. } => DeadLetterReason::Undecodable,
    }
}
