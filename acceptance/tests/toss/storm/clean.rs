//! After the storm: what an operator does, until nothing is stuck.

use super::crowd::Crowd;
use crate::stage::Stage;
use contracts::{
    dead_letter::HEADER_ORIGIN,
    topology::{REPLAY_QUEUE, Role},
};
use std::time::{Duration, Instant};

/// So long may it take until nothing is stuck.
const PATIENCE: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// As long as nothing ends, there is nothing to wait for but the clock.
const STANDSTILL: Duration = Duration::from_secs(4);
/// Past the end of every confirm's window, and of every window that was left open.
const WINDOWS_MS: i64 = 45 * 60_000;

/// What is under way still. A virtual account that nobody paid into may wait.
const STUCK: &str = "SELECT (SELECT COUNT(*) FROM commands WHERE state NOT IN ('done', 'rejected', 'discarded')) \
                          + (SELECT COUNT(*) FROM payments WHERE state = 'confirming') \
                          + (SELECT COUNT(*) FROM refunds WHERE state IN ('requested', 'paying')) \
                          + (SELECT COUNT(*) FROM outbox)";

/// How many dead letters were replayed.
pub(super) async fn up(stage: &Stage, crowd: &mut Crowd<'_>) -> u64 {
    let began = Instant::now();
    let (mut replayed, mut told) = (0, 0);
    let (mut least, mut since) = (i64::MAX, Instant::now());
    loop {
        replayed += replay(stage).await;
        crowd.administrator(true).await;
        let stuck = stage.market.number(STUCK).await;
        if stuck < least {
            (least, since) = (stuck, Instant::now());
        }
        if stuck == 0 && told >= 2 {
            return replayed;
        }
        if stuck == 0 || (told == 0 && since.elapsed() > STANDSTILL) {
            // Every window closes; and what nobody heard of is told again, as from Toss's page. Twice: a charge that had
            // not ended before is only then followed.
            if told == 0 {
                stage.market.advance_clock(WINDOWS_MS);
            }
            for order in &crowd.done_outside {
                stage.hint(order, &format!("told again {told}")).await;
            }
            (told, least) = (told + 1, i64::MAX);
        }
        assert!(began.elapsed() < PATIENCE, "{stuck} commands, charges, refunds or messages are stuck");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Moves every dead letter to the replay queue, as an operator does on RabbitMQ's page; how many there were.
async fn replay(stage: &Stage) -> u64 {
    let mut replayed = 0;
    for role in [Role::Payment, Role::Refund] {
        while let Some(dead) = stage.market.broker.take(&role.dead_letter_queue()).await {
            let origin = acceptance::broker::header(&dead.delivery, HEADER_ORIGIN).expect("an origin");
            let (queue, body) = (REPLAY_QUEUE, &dead.delivery.data);
            stage.market.broker.publish_bytes("", queue, body, &[(HEADER_ORIGIN, origin.as_str())]).await;
            replayed += 1;
        }
    }
    replayed
}
