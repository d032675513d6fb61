//! A thousand dead letters of three causes.

use crate::{
    commands::buy,
    stage::{DEAD, Stage},
};
use contracts::{
    Envelope,
    topology::{COMMANDS_EXCHANGE, bid_queue, routing_key},
};
use lapin::{BasicProperties, options::BasicPublishOptions};

/// Refused by the database, and mendable; of these some expire before they are.
pub const POISON: usize = 400;
pub const EXPIRING: usize = 40;
/// Sent by a version of tomorrow.
pub const TOO_NEW: usize = 300;
/// Changed after they were accepted.
pub const FORGED: usize = 300;
/// The expiring ones are valid for so long.
pub const SHORT_MS: i64 = 200_000;

/// Publishes them mixed, and waits until they are dead letters.
pub async fn set_aside(stage: &Stage) {
    let market = &stage.market;
    let buyer = market.user(2, 1_000_000).await;
    let mut bodies: Vec<(String, Vec<u8>)> = Vec::new();
    for n in 0..POISON {
        let valid_ms = if n < EXPIRING { SHORT_MS } else { 3_600_000 };
        bodies.push(of(stage, &stage.poison(&format!("p{n}"), valid_ms), |_| {}));
    }
    for n in 0..TOO_NEW {
        let sent = buy(&format!("n{n}"), buyer, stage.product, 1_000, market.now());
        bodies.push(of(stage, &sent, |json| json["version"] = 99.into()));
    }
    for n in 0..FORGED {
        let sent = buy(&format!("f{n}"), buyer, stage.product, 1_000, market.now());
        bodies.push(of(stage, &sent, |json| json["body"]["price"] = 1.into()));
    }
    // One of each cause after the other.
    bodies.sort_by_key(|(_, body)| {
        body.iter().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)))
    });
    let channel = market.broker.channel().await;
    for (queue, body) in &bodies {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let (exchange, queue) = (COMMANDS_EXCHANGE.into(), queue.as_str().into());
        channel.basic_publish(exchange, queue, options, body, properties).await.unwrap().await.unwrap();
    }
    stage.letters_become(u32::try_from(bodies.len()).unwrap()).await;
    for partition in market.partitions.all() {
        assert_eq!(market.broker.depth(&bid_queue(partition)).await, 0);
    }
    assert_eq!(market.broker.depth(DEAD).await, 1_000);
}

fn of(stage: &Stage, sent: &Envelope, change: impl FnOnce(&mut serde_json::Value)) -> (String, Vec<u8>) {
    let mut json: serde_json::Value = serde_json::from_slice(&sent.encode()).unwrap();
    change(&mut json);
    (routing_key(&sent.command, stage.market.partitions).unwrap(), json.to_string().into_bytes())
}
