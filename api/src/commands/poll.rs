//! Two ways for an outcome to reach whoever waits: Redis tells it, or MySQL is asked.

use super::lookup;
use crate::context::Shared;
use platform::outcomes::OutcomeSubscriber;
use std::{sync::atomic::Ordering, time::Duration};

/// How often it is looked whether there is somebody to ask for.
const INTERVAL: Duration = Duration::from_millis(200);
/// Commands asked for in one statement.
const MAX_IDS: usize = 500;

/// Runs until it is dropped.
pub(crate) async fn run(api: Shared) {
    let mut subscriber = OutcomeSubscriber::start(api.config.redis.clone(), &api.instance, &api.shutdown);
    let connected = subscriber.connected();
    let told = async {
        while let Some(outcome) = subscriber.next().await {
            api.accepted.heard(outcome.id);
            api.waiters.deliver(&outcome);
        }
    };
    let asked = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            look_up(&api, !connected.load(Ordering::Relaxed)).await;
        }
    };
    // The subscription ends with the order to stop; whoever still waits then is served by asking.
    tokio::join!(told, asked);
}

async fn look_up(api: &Shared, all: bool) {
    for ids in api.waiters.to_look_up(all).chunks(MAX_IDS) {
        // A failure is logged where it is made; the next round asks again.
        let Ok(outcomes) = api.within(lookup::outcomes(&api.database, ids)).await else { return };
        if !outcomes.is_empty() {
            let found = outcomes.len() as u64;
            metrics::counter!("gream_outcomes_looked_up_total").increment(found);
        }
        for outcome in outcomes {
            api.accepted.heard(outcome.id);
            api.waiters.deliver(&outcome);
        }
    }
}
