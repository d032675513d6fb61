//! The AsyncAPI document of the messages: which channels there are, what travels on each, with an example of each.
//!
//! `contracts/asyncapi.json` is made by `gream asyncapi`; a test holds the two together, and has every example read by
//! the decoders that the workers use. Channels and headers come from [`crate::topology`] and [`crate::dead_letter`].

use crate::{
    barcode::BarcodeHash,
    command::{Command, Picture, Side},
    dead_letter::{
        DeadLetterReason, HEADER_ATTEMPTS, HEADER_COMMAND_ID, HEADER_ERROR, HEADER_FIRST_FAILED_AT,
        HEADER_LAST_FAILED_AT, HEADER_NEXT, HEADER_ORIGIN, HEADER_REASON, HEADER_REPLAYS, HEADER_REVISION,
    },
    envelope::Envelope,
    event::{Caused, Event},
    id::{BidId, CommandId, CouponId, GifticonId, OrderId, ProductId, RefundId, UserId},
    kind::Kind,
    money::Won,
    outcome::{CommandState, Outcome, reply_channel},
    partition::PartitionCount,
    result_code::ResultCode,
    time::UnixMs,
    topology::{
        COMMANDS_EXCHANGE, DEAD_EXCHANGE, EVENTS_EXCHANGE, NOTIFIER_QUEUE, REPLAY_QUEUE, RETRY_EXCHANGE, Role, origin,
        retry_queue,
    },
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// When the examples happened: 2024-01-30T12:34:56.123 in Seoul.
const THEN: UnixMs = UnixMs(1_706_585_696_123);
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// Why a refund is not paid, in the examples.
const REASON: &str = "예금주가 다릅니다.";

/// The document, for an installation of this many partitions whose retry ladder has these steps.
pub fn document(partitions: PartitionCount, ladder_ms: &[u32]) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gream's messages",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the API, the workers and the relay tell each other over RabbitMQ, and outcomes over Redis. \
                Delivered at least once: the command's id makes repeats harmless. Made by `gream asyncapi`.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {"host": "{host}:5672", "protocol": "amqp", "variables": {"host": {"default": "localhost"}}},
            "redis": {"host": "{host}:6379", "protocol": "redis", "variables": {"host": {"default": "localhost"}}},
        },
        "channels": channels(partitions, ladder_ms),
        "operations": operations(),
        "components": {"messages": messages(), "schemas": schemas()},
    })
}

fn channels(partitions: PartitionCount, ladder_ms: &[u32]) -> Value {
    let numbers: Vec<String> = partitions.all().map(|partition| partition.to_string()).collect();
    let roles = Role::ALL.map(Role::as_str);
    let laddered = [Role::Payment, Role::Refund];
    let ladder: Vec<String> = laddered
        .iter()
        .flat_map(|role| ladder_ms.iter().flat_map(|step_ms| (0..3).map(|pick| retry_queue(*role, *step_ms, pick))))
        .collect();
    let commands_of = |roles: &[Role]| carried(Kind::ALL.into_iter().filter(|kind| roles.contains(&Role::of(*kind))));
    let (all, direct) = (commands_of(&Role::ALL), COMMANDS_EXCHANGE);
    let mut channels = json!({
        "bid": channel("bid.{partition}", "Commands of the order book: a product's always take the same queue, which has \
            one active consumer.", direct, "direct", commands_of(&[Role::Bid])),
        "payment": channel("payment", "Charges.", direct, "direct", commands_of(&[Role::Payment])),
        "refund": channel("refund", "Refunds.", direct, "direct", commands_of(&[Role::Refund])),
        "retry": channel("{queue}", "Attempts that wait: each queue's time to live leads back to where they came from.",
            RETRY_EXCHANGE, "direct", commands_of(&laddered)),
        "dead": channel("dead.{role}", "Set aside: a person reads the headers, mends the cause and moves the message to \
            'replay'.", DEAD_EXCHANGE, "direct", json!({"dead_letter": {"$ref": "#/components/messages/dead_letter"}})),
        "replay": queue(REPLAY_QUEUE, "Dead letters that shall be tried again: the relay sends each to its origin.", all),
        "events": channel("{event}", "What happened, after the fact. Bind a queue of your own.", EVENTS_EXCHANGE, "topic",
            carried(events().iter().map(|caused| caused.event.routing_key()))),
        "notifier": channel(NOTIFIER_QUEUE, "All events, for the notifier, which has one active consumer.", EVENTS_EXCHANGE,
            "topic", carried(events().iter().map(|caused| caused.event.routing_key()))),
        "outcomes": {
            "address": reply_channel("{instance}"),
            "description": "How commands ended, to the API instance that waits for them. Only faster than the database.",
            "servers": [{"$ref": "#/servers/redis"}],
            "parameters": {"instance": {"description": "The message's `reply_to`."}},
            "messages": {"outcomes": {"$ref": "#/components/messages/outcomes"}},
        },
    });
    for (channel, parameter, description, values) in [
        ("bid", "partition", "From the product's id, or in the low bits of the bid's.", json!(numbers)),
        ("retry", "queue", "By role and waiting time in milliseconds.", json!(ladder)),
        ("dead", "role", "Who was to carry it out.", json!(roles)),
        ("events", "event", "The routing key.", json!(events().map(|caused| caused.event.routing_key()))),
    ] {
        channels[channel]["parameters"][parameter] = json!({"description": description, "enum": values});
    }
    channels
}

fn carried(names: impl Iterator<Item = impl ToString>) -> Value {
    let messages = names.map(|name| name.to_string());
    messages
        .map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")})))
        .collect::<Map<_, _>>()
        .into()
}

fn channel(address: &str, description: &str, exchange: &str, kind: &str, messages: Value) -> Value {
    json!({
        "address": address,
        "description": description,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": messages,
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": exchange, "type": kind, "durable": true, "autoDelete": false}}},
    })
}

fn queue(address: &str, description: &str, messages: Value) -> Value {
    json!({
        "address": address,
        "description": description,
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": messages,
        "bindings": {"amqp": {"is": "queue", "queue": {"name": address, "durable": true, "exclusive": false, "autoDelete": false}}},
    })
}

/// Seen from inside: what each part sends and receives.
fn operations() -> Value {
    let operation = |action: &str, channel: &str, summary: &str| json!({"action": action, "channel": {"$ref": format!("#/channels/{channel}")}, "summary": summary});
    json!({
        "acceptBids": operation("send", "bid", "The API, and the scheduler for deadlines: persistent, mandatory, confirmed."),
        "acceptCharges": operation("send", "payment", "The API, and the scheduler for what is stuck in between."),
        "acceptRefunds": operation("send", "refund", "The API, and the relay for the legs of an approved refund."),
        "carryOutBids": operation("receive", "bid", "The bid worker, in batches; acked after the outcome committed."),
        "carryOutCharges": operation("receive", "payment", "The payment worker."),
        "carryOutRefunds": operation("receive", "refund", "The refund worker."),
        "waitForTheNextAttempt": operation("send", "retry", "Workers whose call to Toss did not end well."),
        "setAside": operation("send", "dead", "Workers, for what they cannot carry out."),
        "tryAgain": operation("receive", "replay", "The relay."),
        "tellOutcomes": operation("send", "outcomes", "Workers, after the commit."),
        "hearOutcomes": operation("receive", "outcomes", "The API."),
        "notify": operation("receive", "notifier", "The notifier: numbered per user, once an event."),
        "tellEvents": operation("send", "events", "The relay, from the outbox: at least once."),
    })
}

fn messages() -> Value {
    let mut messages = Map::new();
    for kind in Kind::ALL {
        let payload = json!({"allOf": [
            {"$ref": "#/components/schemas/Envelope"},
            {"type": "object", "properties": {"kind": {"const": kind.as_str()}}},
        ]});
        let example = json!({"headers": {HEADER_ORIGIN: origin(Role::of(kind).as_str())}, "payload": envelope(kind)});
        messages.insert(kind.as_str().to_owned(), message("Command", &command_headers(), payload, example));
    }
    for caused in events() {
        let schema = json!({"$ref": "#/components/schemas/Caused"});
        let name = caused.event.routing_key().to_owned();
        messages.insert(name, message("Event", &json!({"type": "object"}), schema, json!({"payload": caused})));
    }
    let dead = json!({"headers": dead_letter(), "payload": envelope(Kind::ConfirmCharge)});
    let anything = json!({"description": "As it came: an envelope where it could be read, whatever else otherwise."});
    messages.insert("dead_letter".to_owned(), message("Dead letter", &dead_letter_headers(), anything, dead));
    let batch = json!({"type": "array", "items": {"$ref": "#/components/schemas/Outcome"}});
    let outcomes = json!({"payload": [outcome()]});
    messages.insert("outcomes".to_owned(), message("Outcomes", &json!({"type": "object"}), batch, outcomes));
    messages.into()
}

fn message(title: &str, headers: &Value, payload: Value, example: Value) -> Value {
    json!({"title": title, "contentType": "application/json", "headers": headers, "payload": payload, "examples": [example]})
}

fn command_headers() -> Value {
    json!({
        "type": "object",
        "required": [HEADER_ORIGIN],
        "properties": {
            HEADER_ORIGIN: {"type": "string", "description": "The way back: exchange|routing key."},
            "traceparent": {"type": "string", "description": "W3C trace context: the client's own, or of its request's span."},
            "tracestate": {"type": "string", "description": "W3C trace context: what others in the trace hand on."},
        },
    })
}

fn dead_letter_headers() -> Value {
    let reasons = DeadLetterReason::ALL.map(DeadLetterReason::as_str);
    let text = |description: &str| json!({"type": "string", "description": description});
    let number = |description: &str| json!({"type": "integer", "description": description});
    json!({
        "type": "object",
        "required": [HEADER_ORIGIN, HEADER_REASON, HEADER_NEXT, HEADER_ERROR, HEADER_ATTEMPTS],
        "properties": {
            HEADER_ORIGIN: text("The way back: exchange|routing key."),
            HEADER_REASON: {"type": "string", "enum": reasons},
            HEADER_ERROR: text("The last error, for people."),
            HEADER_NEXT: text("What to do next, for people."),
            HEADER_ATTEMPTS: number("How often it was attempted."),
            HEADER_FIRST_FAILED_AT: number("Unix milliseconds."),
            HEADER_LAST_FAILED_AT: number("Unix milliseconds."),
            HEADER_COMMAND_ID: text("The command's id, where it could be read."),
            HEADER_REPLAYS: number("How often it was replayed."),
            HEADER_REVISION: number("Which revision of the payload it carries, where an operator has edited it."),
        },
    })
}

fn schemas() -> Value {
    let mut found = Vec::new();
    Envelope::schemas(&mut found);
    Caused::schemas(&mut found);
    Outcome::schemas(&mut found);
    found.extend([
        (Envelope::name().into_owned(), <Envelope as utoipa::PartialSchema>::schema()),
        (Caused::name().into_owned(), <Caused as utoipa::PartialSchema>::schema()),
        (Outcome::name().into_owned(), <Outcome as utoipa::PartialSchema>::schema()),
    ]);
    found.into_iter().map(|(name, schema)| (name, json!(schema))).collect::<Map<_, _>>().into()
}

/// An example of each kind.
fn envelope(kind: Kind) -> Envelope {
    let of_nobody = [Kind::ExpireBids, Kind::FollowPayment, Kind::CollectDebt].contains(&kind);
    let by = if of_nobody { UserId::SYSTEM } else { UserId(7) };
    let valid_until = (Role::of(kind) == Role::Bid).then(|| THEN.plus_ms(10 * MINUTE_MS));
    Envelope::new(CommandId::derived(by, kind.as_str(), "example"), by, THEN, valid_until, command(kind))
}

fn command(kind: Kind) -> Command {
    let (product, price, period_days, deadline) = (ProductId(3), Won(4_500), 7, THEN.plus_ms(7 * DAY_MS));
    let picture = Picture {
        key: "gifticons/ab/abcdef.png".to_owned(),
        sha256: "ab".repeat(32),
        barcode: Some(BarcodeHash([0xcd; 32])),
        expires_at: Some(THEN.plus_ms(30 * DAY_MS)),
    };
    match kind {
        Kind::PlaceBuyBid => Command::PlaceBuyBid { product, price, period_days, deadline, coupon: Some(CouponId(5)) },
        Kind::PlaceSellBid => Command::PlaceSellBid { product, price, period_days, deadline, picture },
        Kind::BuyNow => Command::BuyNow { product, price, coupon: None },
        Kind::SellNow => Command::SellNow { product, price, picture },
        Kind::CancelBid => Command::CancelBid { bid: BidId(2_563), side: Side::Buy },
        Kind::ExpireBids => Command::ExpireBids { product, bids: vec![BidId(2_563), BidId(2_819)] },
        Kind::ConfirmCharge => Command::ConfirmCharge {
            order_id: "0190f5c8-7a00-7000-8000-000000000000".to_owned(),
            payment_key: "tgen_20240130123456abcde".to_owned(),
            amount: Won(10_000),
            confirm_by: THEN.plus_ms(10 * MINUTE_MS),
        },
        Kind::RequestRefund => Command::RequestRefund {
            point: Won(10_000),
            bank: "국민".to_owned(),
            account_cipher: "(base64)".to_owned(),
            account_masked: "***-***-**6789".to_owned(),
            account_hash: "cd".repeat(32),
        },
        Kind::ApproveRefund => Command::ApproveRefund { refund: RefundId(11) },
        Kind::RejectRefund => Command::RejectRefund { refund: RefundId(11), reason: REASON.to_owned() },
        Kind::CancelCharge => Command::CancelCharge { refund: RefundId(11), leg: 1 },
        Kind::FollowPayment => Command::FollowPayment { order_id: "0190f5c8-7a00-7000-8000-000000000000".to_owned() },
        Kind::CollectDebt => Command::CollectDebt { debtor: UserId(7) },
        Kind::ConfirmPayout => Command::ConfirmPayout { refund: RefundId(11), leg: 2 },
        Kind::FailPayout => Command::FailPayout { refund: RefundId(11), leg: 2, reason: REASON.to_owned() },
    }
}

fn events() -> [Caused; 7] {
    let caused = |kind: Kind, event: Event| Caused { command_id: envelope(kind).id, event };
    let (product, user, at) = (ProductId(3), UserId(7), THEN);
    [
        caused(
            Kind::BuyNow,
            Event::TradeMade { order: OrderId(515), product, buyer: user, seller: UserId(8), price: Won(4_500), at },
        ),
        caused(Kind::ExpireBids, Event::BidExpired { bid: BidId(2_563), side: Side::Sell, product, user, at }),
        caused(
            Kind::ConfirmCharge,
            Event::ChargeConfirmed {
                order_id: "0190f5c8-7a00-7000-8000-000000000000".to_owned(),
                user,
                amount: Won(10_000),
                at,
            },
        ),
        caused(Kind::CancelCharge, Event::RefundPaid { refund: RefundId(11), user, amount: Won(10_000), at }),
        caused(Kind::RejectRefund, Event::RefundRejected { refund: RefundId(11), user, amount: Won(10_000), at }),
        caused(Kind::FailPayout, Event::PayoutReturned { refund: RefundId(11), leg: 2, user, amount: Won(4_000), at }),
        Caused {
            command_id: CommandId::derived(UserId::SYSTEM, "gifticon-expiring", "515"),
            event: Event::GifticonExpiring {
                gifticon: GifticonId(515),
                product,
                user,
                expires_at: THEN.plus_ms(3 * DAY_MS),
                at,
            },
        },
    ]
}

fn outcome() -> Outcome {
    let envelope = envelope(Kind::PlaceBuyBid);
    Outcome {
        id: envelope.id,
        fingerprint: envelope.fingerprint,
        state: CommandState::Done,
        code: ResultCode::Ok,
        data: json!({"price": 4_500, "buyId": 2_563}),
        finished_at: THEN.plus_ms(8),
    }
}

/// The headers of a dead letter.
fn dead_letter() -> Value {
    let reason = DeadLetterReason::NeedsAPerson;
    json!({
        HEADER_ORIGIN: origin(Role::Payment.as_str()),
        HEADER_REASON: reason.as_str(),
        HEADER_NEXT: reason.next_step(),
        HEADER_ERROR: "Toss says CANCELED, and nobody here cancelled it",
        HEADER_ATTEMPTS: 3,
        HEADER_FIRST_FAILED_AT: THEN.0,
        HEADER_LAST_FAILED_AT: THEN.plus_ms(MINUTE_MS).0,
        HEADER_COMMAND_ID: envelope(Kind::ConfirmCharge).id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::OutcomeBatch, topology::RETRY_LADDER_MS};

    fn made() -> Value {
        document(PartitionCount::new(16).unwrap(), &RETRY_LADDER_MS)
    }

    fn checked_in() -> Value {
        serde_json::from_str(include_str!("../asyncapi.json")).unwrap()
    }

    #[test]
    fn the_checked_in_document_is_the_one_that_the_code_makes() {
        assert_eq!(made(), checked_in(), "run: gream asyncapi > contracts/asyncapi.json");
    }

    #[test]
    fn every_example_is_read_by_the_decoder_of_its_message() {
        let document = checked_in();
        let mut kinds = Vec::new();
        for (name, message) in document["components"]["messages"].as_object().unwrap() {
            let example = &message["examples"][0];
            let payload = example["payload"].to_string();
            match message["title"].as_str().unwrap() {
                "Command" => {
                    let envelope = Envelope::decode(payload.as_bytes()).unwrap();
                    assert_eq!(envelope.command.kind().as_str(), name);
                    kinds.push(envelope.command.kind());
                }
                "Event" => {
                    let caused: Caused = serde_json::from_str(&payload).unwrap();
                    assert_eq!(caused.event.routing_key(), name);
                }
                "Outcomes" => assert_eq!(serde_json::from_str::<OutcomeBatch>(&payload).unwrap(), [outcome()]),
                "Dead letter" => {
                    Envelope::decode(payload.as_bytes()).unwrap();
                    let reason: DeadLetterReason = example["headers"][HEADER_REASON].as_str().unwrap().parse().unwrap();
                    assert_eq!(example["headers"][HEADER_NEXT], reason.next_step());
                }
                other => panic!("{other}"),
            }
        }
        kinds.sort_unstable();
        assert_eq!(kinds, Kind::ALL, "one example of each kind");
    }

    #[test]
    fn every_queue_of_the_topology_is_an_address() {
        use crate::topology::Topology;
        let document = checked_in();
        let mut addresses = Vec::new();
        for channel in document["channels"].as_object().unwrap().values() {
            let address = channel["address"].as_str().unwrap();
            let parameters = channel["parameters"].as_object();
            match parameters.and_then(|parameters| parameters.iter().next()) {
                None => addresses.push(address.to_owned()),
                Some((name, parameter)) => {
                    let values = parameter["enum"].as_array().into_iter().flatten();
                    let place = format!("{{{name}}}");
                    addresses.extend(values.map(|value| address.replace(&place, value.as_str().unwrap())));
                }
            }
        }
        for queue in Topology::new(PartitionCount::new(16).unwrap(), &RETRY_LADDER_MS).queues() {
            assert!(addresses.contains(&queue.name), "{}", queue.name);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = checked_in();
        for reference in document.to_string().split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
