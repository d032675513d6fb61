//! The broker in memory: a queue a partition, each with a single active consumer, as RabbitMQ has them.
//!
//! Promises what RabbitMQ promises, and no more: what is not acked comes again, in its old order, marked as delivered before; an
//! ack may be lost; a message may be there twice, because the confirm of the first was lost. `queue_conformance` holds it to
//! RabbitMQ's own queues.

use crate::world::ConnectionId;
use contracts::{Envelope, PartitionCount, PartitionId, topology};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug)]
pub struct Message {
    pub partition: PartitionId,
    pub envelope: Envelope,
    pub is_redelivered: bool,
}

#[derive(Default)]
pub struct Broker {
    queues: BTreeMap<PartitionId, VecDeque<Message>>,
    active: BTreeMap<PartitionId, ConnectionId>,
    unacked: BTreeMap<ConnectionId, Vec<Message>>,
    /// Consumers that are gone, or count as gone.
    closed: BTreeSet<ConnectionId>,
    /// In the order of their first arrival.
    pub arrived: Vec<(PartitionId, contracts::CommandId)>,
}

impl Broker {
    pub fn publish(&mut self, partitions: PartitionCount, envelope: &Envelope) {
        let key = topology::routing_key(&envelope.command, partitions).expect("a command of the market");
        let partition = partitions.all().find(|partition| topology::bid_queue(*partition) == key).expect("its queue");
        self.puts(partition, envelope);
    }

    pub fn puts(&mut self, partition: PartitionId, envelope: &Envelope) {
        let arrival = (partition, envelope.id);
        if !self.arrived.contains(&arrival) {
            self.arrived.push(arrival);
        }
        let message = Message { partition, envelope: envelope.clone(), is_redelivered: false };
        self.queues.entry(partition).or_default().push_back(message);
    }

    /// Commands that arrived at several partitions.
    pub fn at_several_partitions(&self) -> BTreeSet<contracts::CommandId> {
        let mut seen = BTreeSet::new();
        self.arrived.iter().map(|(_, id)| *id).filter(|id| !seen.insert(*id)).collect()
    }

    /// Up to `most` from the queues that are, or become, this consumer's; `None`: it counts as gone, and must come anew.
    pub fn take(&mut self, consumer: ConnectionId, most: usize) -> Option<Vec<Message>> {
        if self.closed.contains(&consumer) {
            return None;
        }
        let mut taken = Vec::new();
        for (partition, queue) in &mut self.queues {
            if *self.active.entry(*partition).or_insert(consumer) == consumer {
                let count = queue.len().min(most - taken.len());
                taken.extend(queue.drain(..count));
            }
        }
        self.unacked.entry(consumer).or_default().extend(taken.clone());
        Some(taken)
    }

    pub fn ack(&mut self, consumer: ConnectionId) {
        self.unacked.remove(&consumer);
    }

    /// Its queues may go on elsewhere, while it still sits on what it has.
    pub fn hands_over(&mut self, consumer: ConnectionId) {
        self.active.retain(|_, active| *active != consumer);
    }

    /// The consumer is gone, or counts as gone: everything of it comes to another one, in its old order.
    pub fn gives_back(&mut self, consumer: ConnectionId) {
        self.closed.insert(consumer);
        self.hands_over(consumer);
        for message in self.unacked.remove(&consumer).unwrap_or_default().into_iter().rev() {
            let queue = self.queues.entry(message.partition).or_default();
            queue.push_front(Message { is_redelivered: true, ..message });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queues.values().all(VecDeque::is_empty) && self.unacked.values().all(Vec::is_empty)
    }
}
