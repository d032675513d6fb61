//! The message of a command of the market's own.

use contracts::{
    Command, CommandId, Envelope, PartitionCount, UnixMs, UserId,
    dead_letter::HEADER_ORIGIN,
    topology::{COMMANDS_EXCHANGE, origin, routing_key},
};
use platform::rabbitmq::Message;

/// No valid-until: what became due stays due.
pub(super) fn message(id: CommandId, command: Command, now: UnixMs, partitions: PartitionCount) -> Message {
    let key = routing_key(&command, partitions).unwrap_or_default();
    let envelope = Envelope::new(id, UserId::SYSTEM, now, None, command);
    let came_from = origin(&key);
    let message = Message {
        exchange: COMMANDS_EXCHANGE.to_owned(),
        routing_key: key,
        payload: envelope.encode(),
        message_id: id.to_string(),
        mandatory: true,
        ..Message::default()
    };
    message.with_header(HEADER_ORIGIN, &came_from)
}
