//! The broker's exchanges, queues, bindings and policies, and `rabbitmq/definitions.json` made from them.
//!
//! ```text
//!             gream.commands (direct)                    gream.retry (direct)
//!  API ──► bid.00 … bid.15 ─► bid worker        ┌──────► retry.payment.1000 … ──(ttl)──► gream.commands
//!      ──► payment ─────────► payment worker ───┤
//!      ──► refund ──────────► refund worker ────┴──────► gream.dead (direct) ─► dead.bid, dead.payment, dead.refund
//!  operator ──► replay ─────► relay ─► (origin header) gream.commands
//!  outbox ────► relay ──────► gream.events (topic) ─► notifier ─► notifier (dead letters: dead.notifier)
//! ```
//! What would lose a message if it were missing (quorum type, dead-letter target, reject-publish) is a queue argument;
//! what an operator may want to turn without a deploy (length and delivery limits) is a policy.

use crate::{
    command::Command,
    kind::Kind,
    partition::{PartitionCount, PartitionId},
};
use serde_json::{Value, json};
use std::{fmt, str::FromStr};

/// Where commands are published; direct.
pub const COMMANDS_EXCHANGE: &str = "gream.commands";
/// Where attempts that must wait are published; direct.
pub const RETRY_EXCHANGE: &str = "gream.retry";
/// Where dead letters are published; direct, routing key = role.
pub const DEAD_EXCHANGE: &str = "gream.dead";
/// Where events are published; topic.
pub const EVENTS_EXCHANGE: &str = "gream.events";
/// Where events wait for the notifier; bound to [`COMMANDS_EXCHANGE`] too, so that a replayed one comes back to it alone.
pub const NOTIFIER_QUEUE: &str = "notifier";
/// Where operators move dead letters that shall be tried again.
pub const REPLAY_QUEUE: &str = "replay";
/// The waiting times of the retry ladder.
pub const RETRY_LADDER_MS: [u32; 5] = [1_000, 5_000, 30_000, 120_000, 600_000];
/// Each step has queues of these lengths, in per cent of the step: jitter without a TTL of each message's own,
/// which would wait behind the head of its queue.
pub const RETRY_JITTER_PERCENT: [u32; 3] = [100, 115, 130];
/// Commands waiting in one queue before the broker refuses more (policy).
pub const MAX_QUEUE_LENGTH: u32 = 100_000;
/// Deliveries of one message before the broker itself sets it aside (policy). Far above what workers allow: a crash
/// counts against every message that was prefetched, so a low limit would punish the innocent.
pub const FAR_DELIVERY_LIMIT: u32 = 1_000;

/// Dead letters are only looked at, and every look in the page counts as a delivery: they are never dropped for that.
pub const NEVER_REACHED_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// Who carries a command out, or takes what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The order book's partitions.
    Bid,
    /// Charges.
    Payment,
    /// Refunds.
    Refund,
    /// What users are told; takes events, no commands.
    Notifier,
}

impl Role {
    /// Every role that consumes.
    pub const ALL: [Role; 4] = [Role::Bid, Role::Payment, Role::Refund, Role::Notifier];

    /// As in queue names, metrics and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Bid => "bid",
            Role::Payment => "payment",
            Role::Refund => "refund",
            Role::Notifier => NOTIFIER_QUEUE,
        }
    }

    /// The role that carries out commands of this kind.
    pub fn of(kind: Kind) -> Role {
        match kind {
            Kind::PlaceBuyBid
            | Kind::PlaceSellBid
            | Kind::BuyNow
            | Kind::SellNow
            | Kind::CancelBid
            | Kind::ExpireBids => Role::Bid,
            Kind::ConfirmCharge | Kind::FollowPayment | Kind::CollectDebt => Role::Payment,
            Kind::RequestRefund
            | Kind::ApproveRefund
            | Kind::RejectRefund
            | Kind::CancelCharge
            | Kind::ConfirmPayout
            | Kind::FailPayout => Role::Refund,
        }
    }

    /// Where this role's dead letters lie.
    pub fn dead_letter_queue(self) -> String {
        format!("dead.{}", self.as_str())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL
            .into_iter()
            .find(|r| r.as_str() == text)
            .ok_or_else(|| format!("unknown role {text:?}: bid, payment, refund or notifier"))
    }
}

/// The queue (and routing key) of a partition.
pub fn bid_queue(partition: PartitionId) -> String {
    format!("bid.{partition}")
}

/// The routing key on [`COMMANDS_EXCHANGE`] for `command`, or `None` when it names a bid that cannot exist.
pub fn routing_key(command: &Command, partitions: PartitionCount) -> Option<String> {
    Some(match command {
        Command::PlaceBuyBid { product, .. }
        | Command::PlaceSellBid { product, .. }
        | Command::BuyNow { product, .. }
        | Command::SellNow { product, .. }
        | Command::ExpireBids { product, .. } => bid_queue(partitions.of_product(*product)),
        Command::CancelBid { bid, .. } => bid_queue(partitions.of_bid(*bid)?),
        Command::ConfirmCharge { .. } | Command::FollowPayment { .. } | Command::CollectDebt { .. } => {
            Role::Payment.as_str().to_owned()
        }
        Command::RequestRefund { .. }
        | Command::ApproveRefund { .. }
        | Command::RejectRefund { .. }
        | Command::CancelCharge { .. }
        | Command::ConfirmPayout { .. }
        | Command::FailPayout { .. } => Role::Refund.as_str().to_owned(),
    })
}

/// The queue (and routing key on [`RETRY_EXCHANGE`]) where an attempt of `role` waits about `step_ms`.
/// `pick` chooses among the lengths of the step; any number will do.
pub fn retry_queue(role: Role, step_ms: u32, pick: usize) -> String {
    retry_queue_of(role, with_jitter(step_ms, pick))
}

fn with_jitter(step_ms: u32, pick: usize) -> u32 {
    step_ms / 100 * RETRY_JITTER_PERCENT[pick % RETRY_JITTER_PERCENT.len()]
}

fn retry_queue_of(role: Role, ttl_ms: u32) -> String {
    format!("retry.{role}.{ttl_ms}")
}

/// A message's way back, for [`crate::dead_letter::HEADER_ORIGIN`].
pub fn origin(routing_key: &str) -> String {
    format!("{COMMANDS_EXCHANGE}|{routing_key}")
}

/// The routing key of an origin, if it names a queue that carries commands out.
pub fn routing_key_of_origin(origin: &str, partitions: PartitionCount) -> Option<&str> {
    let (exchange, key) = origin.split_once('|')?;
    let known = key == Role::Payment.as_str()
        || key == Role::Refund.as_str()
        || key == NOTIFIER_QUEUE
        || partitions.all().any(|partition| bid_queue(partition) == key);
    (exchange == COMMANDS_EXCHANGE && known).then_some(key)
}

/// One queue, as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Its name; bound with the same routing key.
    pub name: String,
    /// The exchange it is bound to; `None` for queues that only the default exchange reaches.
    pub exchange: Option<&'static str>,
    /// The routing key of its binding.
    pub routing_key: String,
    /// Another exchange, of whose messages it takes all.
    pub takes_all_of: Option<&'static str>,
    /// Its `x-` arguments.
    pub arguments: Vec<(&'static str, Argument)>,
}

impl Queue {
    /// Every exchange it is bound to, with the key.
    pub fn bindings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let own = self.exchange.map(|exchange| (exchange, self.routing_key.as_str()));
        own.into_iter().chain(self.takes_all_of.map(|exchange| (exchange, "#")))
    }
}

/// The value of a queue argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A string.
    Text(String),
    /// A whole number.
    Number(u32),
    /// A switch.
    Flag(bool),
}

impl Argument {
    fn to_json(&self) -> Value {
        match self {
            Argument::Text(text) => json!(text),
            Argument::Number(number) => json!(number),
            Argument::Flag(flag) => json!(flag),
        }
    }
}

/// Every exchange with its type.
pub const EXCHANGES: [(&str, &str); 4] =
    [(COMMANDS_EXCHANGE, "direct"), (RETRY_EXCHANGE, "direct"), (DEAD_EXCHANGE, "direct"), (EVENTS_EXCHANGE, "topic")];

/// The whole of an installation's queues.
#[derive(Clone, Debug)]
pub struct Topology {
    partitions: PartitionCount,
    ladder_ms: Vec<u32>,
}

impl Topology {
    /// For `partitions` partitions and a retry ladder of these steps.
    pub fn new(partitions: PartitionCount, ladder_ms: &[u32]) -> Self {
        Self { partitions, ladder_ms: ladder_ms.to_vec() }
    }

    /// Every queue, in the order in which they can be declared.
    pub fn queues(&self) -> Vec<Queue> {
        let dead = Role::ALL.map(|role| Queue {
            name: role.dead_letter_queue(),
            exchange: Some(DEAD_EXCHANGE),
            routing_key: role.as_str().to_owned(),
            takes_all_of: None,
            arguments: vec![("x-queue-type", text("quorum")), ("x-overflow", text("reject-publish"))],
        });
        let bids = self.partitions.all().map(|partition| {
            let mut queue = command_queue(bid_queue(partition), Role::Bid);
            queue.arguments.push(("x-single-active-consumer", Argument::Flag(true)));
            queue
        });
        let others = [Role::Payment, Role::Refund].map(|role| command_queue(role.as_str().to_owned(), role));
        let mut notifier = command_queue(NOTIFIER_QUEUE.to_owned(), Role::Notifier);
        notifier.takes_all_of = Some(EVENTS_EXCHANGE);
        // One at a time keeps a user's notifications in the order of the events, mostly.
        notifier.arguments.push(("x-single-active-consumer", Argument::Flag(true)));
        let replay = Queue {
            name: REPLAY_QUEUE.to_owned(),
            exchange: None,
            routing_key: REPLAY_QUEUE.to_owned(),
            takes_all_of: None,
            arguments: vec![("x-queue-type", text("quorum")), ("x-overflow", text("reject-publish"))],
        };
        dead.into_iter().chain(bids).chain(others).chain([notifier, replay]).chain(self.retry_queues()).collect()
    }

    fn retry_queues(&self) -> impl Iterator<Item = Queue> {
        [Role::Payment, Role::Refund].into_iter().flat_map(|role| {
            self.ladder_ms.iter().flat_map(move |step_ms| {
                (0..RETRY_JITTER_PERCENT.len()).map(move |pick| {
                    let ttl_ms = with_jitter(*step_ms, pick);
                    let name = retry_queue_of(role, ttl_ms);
                    Queue {
                        routing_key: name.clone(),
                        name,
                        exchange: Some(RETRY_EXCHANGE),
                        takes_all_of: None,
                        arguments: vec![
                            ("x-queue-type", text("quorum")),
                            ("x-message-ttl", Argument::Number(ttl_ms)),
                            ("x-overflow", text("reject-publish")),
                            ("x-dead-letter-strategy", text("at-least-once")),
                            ("x-dead-letter-exchange", text(COMMANDS_EXCHANGE)),
                            ("x-dead-letter-routing-key", text(role.as_str())),
                        ],
                    }
                })
            })
        })
    }

    /// The policies: name, pattern, definition.
    pub fn policies() -> Vec<(&'static str, &'static str, Value)> {
        vec![
            (
                "gream-commands",
                r"^(bid\.\d+|payment|refund|notifier)$",
                json!({"max-length": MAX_QUEUE_LENGTH, "delivery-limit": FAR_DELIVERY_LIMIT}),
            ),
            (
                "gream-dead-letters",
                r"^dead\.",
                json!({"max-length": MAX_QUEUE_LENGTH, "delivery-limit": NEVER_REACHED_DELIVERY_LIMIT}),
            ),
            (
                "gream-replay",
                "^replay$",
                // Where it goes when the relay cannot get it on its way for very long.
                json!({"max-length": MAX_QUEUE_LENGTH, "delivery-limit": FAR_DELIVERY_LIMIT,
                       "dead-letter-exchange": DEAD_EXCHANGE, "dead-letter-routing-key": Role::Bid.as_str(),
                       "dead-letter-strategy": "at-least-once"}),
            ),
            ("gream-retries", r"^retry\.", json!({"max-length": MAX_QUEUE_LENGTH})),
        ]
    }

    /// What `rabbitmq/definitions.json` holds for `vhost`. Users are not in it: they are secrets of the installation.
    pub fn definitions(&self, vhost: &str) -> Value {
        let queues = self.queues();
        let exchanges: Vec<Value> = EXCHANGES
            .iter()
            .map(|(name, kind)| {
                json!({"name": name, "vhost": vhost, "type": kind, "durable": true, "auto_delete": false,
                       "internal": false, "arguments": {}})
            })
            .collect();
        let bindings: Vec<Value> = queues
            .iter()
            .flat_map(|queue| queue.bindings().map(move |(source, key)| (queue, source, key)))
            .map(|(queue, source, key)| {
                json!({"source": source, "vhost": vhost, "destination": queue.name, "destination_type": "queue",
                       "routing_key": key, "arguments": {}})
            })
            .collect();
        let policies: Vec<Value> = Self::policies()
            .into_iter()
            .map(|(name, pattern, definition)| {
                json!({"vhost": vhost, "name": name, "pattern": pattern, "apply-to": "queues", "definition": definition,
                       "priority": 0})
            })
            .collect();
        let queues: Vec<Value> = queues
            .iter()
            .map(|queue| {
                let arguments: serde_json::Map<String, Value> =
                    queue.arguments.iter().map(|(key, value)| ((*key).to_owned(), value.to_json())).collect();
                json!({"name": queue.name, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": arguments})
            })
            .collect();
        json!({"vhosts": [{"name": vhost}], "policies": policies, "exchanges": exchanges, "queues": queues, "bindings": bindings})
    }
}

fn text(value: &str) -> Argument {
    Argument::Text(value.to_owned())
}

fn command_queue(name: String, role: Role) -> Queue {
    Queue {
        routing_key: name.clone(),
        name,
        exchange: Some(COMMANDS_EXCHANGE),
        takes_all_of: None,
        arguments: vec![
            ("x-queue-type", text("quorum")),
            ("x-overflow", text("reject-publish")),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-dead-letter-exchange", text(DEAD_EXCHANGE)),
            ("x-dead-letter-routing-key", text(role.as_str())),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BidId, ProductId};

    fn sixteen() -> PartitionCount {
        PartitionCount::new(16).unwrap()
    }

    #[test]
    fn an_origin_leads_back_and_only_to_a_queue_of_commands() {
        for key in ["bid.00", "bid.15", "payment", "refund", "notifier"] {
            assert_eq!(routing_key_of_origin(&origin(key), sixteen()), Some(key));
        }
        for origin in ["gream.commands|bid.16", "gream.commands|replay", "gream.dead|bid", "|payment", "payment", ""] {
            assert_eq!(routing_key_of_origin(origin, sixteen()), None, "{origin}");
        }
    }

    #[test]
    fn a_cancel_goes_where_its_bid_went() {
        let product = ProductId(12);
        let partition = sixteen().of_product(product);
        let bid = BidId(crate::partition::id_from_sequence(partition, 77).unwrap());
        let cancel = Command::CancelBid { bid, side: crate::Side::Buy };
        assert_eq!(routing_key(&cancel, sixteen()), Some(bid_queue(partition)));
    }

    #[test]
    fn every_retry_queue_that_can_be_picked_is_declared_and_leads_back() {
        let queues = Topology::new(sixteen(), &RETRY_LADDER_MS).queues();
        for role in [Role::Payment, Role::Refund] {
            for step_ms in RETRY_LADDER_MS {
                for pick in 0..5 {
                    let name = retry_queue(role, step_ms, pick);
                    let queue = queues.iter().find(|queue| queue.name == name).unwrap();
                    assert!(queue.arguments.contains(&("x-dead-letter-routing-key", text(role.as_str()))));
                }
            }
        }
    }

    #[test]
    fn the_checked_in_definitions_are_the_ones_made_here() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../rabbitmq/definitions.json");
        let made = Topology::new(sixteen(), &RETRY_LADDER_MS).definitions("gream");
        let found: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(found, made, "run `gream topology > rabbitmq/definitions.json`");
    }
}
