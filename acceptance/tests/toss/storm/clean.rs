//! After the storm: what an operator does, until nothing is stuck.

use super::crowd::Crowd;
use crate::stage::Stage;
use contracts::{
    dead_letter::{HEADER_ORIGIN, HEADER_REASON},
    topology::{REPLAY_QUEUE, Role},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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

/// The dead letters that were replayed, by their reason.
pub(super) async fn up(stage: &Stage, crowd: &mut Crowd<'_>) -> BTreeMap<String, u64> {
    let began = Instant::now();
    let (mut replayed, mut told) = (BTreeMap::new(), 0);
    let (mut least, mut since) = (i64::MAX, Instant::now());
    loop {
        replay(stage, &mut replayed).await;
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
        assert!(began.elapsed() < PATIENCE, "{stuck} are stuck: {:?}; replayed: {replayed:?}", which(stage).await);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Some of the commands, charges and refunds that are.
async fn which(stage: &Stage) -> Vec<(String, String)> {
    let sql = "SELECT CAST(HEX(command_id) AS CHAR), CONCAT(kind, ' ', state) FROM commands \
                 WHERE state NOT IN ('done', 'rejected', 'discarded') \
               UNION ALL SELECT order_id, CONCAT('charge ', state) FROM payments WHERE state = 'confirming' \
               UNION ALL SELECT CAST(refund_id AS CHAR), CONCAT('refund ', state) FROM refunds \
                 WHERE state IN ('requested', 'paying') LIMIT 20";
    sqlx::query_as(sql).fetch_all(&stage.market.database).await.unwrap()
}

/// Moves every dead letter to the replay queue, as an operator does on RabbitMQ's page, and counts it.
async fn replay(stage: &Stage, replayed: &mut BTreeMap<String, u64>) {
    for role in [Role::Payment, Role::Refund] {
        while let Some(dead) = stage.market.broker.take(&role.dead_letter_queue()).await {
            let origin = acceptance::broker::header(&dead.delivery, HEADER_ORIGIN).expect("an origin");
            let (queue, body) = (REPLAY_QUEUE, &dead.delivery.data);
            stage.market.broker.publish_bytes("", queue, body, &[(HEADER_ORIGIN, origin.as_str())]).await;
            let reason = acceptance::broker::header(&dead.delivery, HEADER_REASON).expect("a reason");
            *replayed.entry(reason).or_default() += 1;
        }
    }
}
