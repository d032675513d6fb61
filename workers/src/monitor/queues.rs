//! What waits on the queues, by role, as RabbitMQ's page counts it.

use super::{Monitor, oldest::Arrivals, sees};
use contracts::Place;
use platform::rabbitmq::{ManagementPage, PageError, QueueFigures};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The queues of one place together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    messages: u64,
    unacked: u64,
    /// Queues with messages that nobody consumes.
    unconsumed: u32,
    oldest: Duration,
    /// How full the fullest queue is.
    fullness: f64,
}

/// What was seen of each queue before.
type Before = BTreeMap<String, Arrivals>;

pub(super) async fn run(monitor: &Monitor) {
    let config = &monitor.config;
    let address = config.monitor.rabbitmq_page.expose();
    let Ok(page) = ManagementPage::beside(address, config.rabbitmq.url.expose()) else {
        tracing::warn!("monitor.rabbitmq_page is empty: there are no metrics of queues, and no alerts about them");
        return sees("queues", false);
    };
    let http = reqwest::Client::new();
    let mut before = Before::new();
    loop {
        let looked = look(&page, &http, &mut before).await;
        if let Err(error) = &looked {
            tracing::warn!(%error, "the monitor cannot read RabbitMQ's page");
        }
        sees("queues", looked.is_ok());
        if !monitor.pause().await {
            return;
        }
    }
}

async fn look(page: &ManagementPage, http: &reqwest::Client, before: &mut Before) -> Result<(), PageError> {
    let queues = page.queues(http).await?;
    // What was deleted is forgotten.
    before.retain(|name, _| queues.iter().any(|queue| queue.name == *name));
    for (place, seen) in together(&queues, before, Instant::now()) {
        show(place, &seen);
    }
    Ok(())
}

fn together(queues: &[QueueFigures], before: &mut Before, now: Instant) -> BTreeMap<Place, Seen> {
    let mut places: BTreeMap<Place, Seen> = BTreeMap::new();
    for queue in queues {
        let place = Place::of(&queue.name);
        let arrivals = before.entry(queue.name.clone()).or_default();
        let oldest = arrivals.oldest(now, queue.messages, queue.acked());
        let seen = places.entry(place).or_default();
        seen.messages += queue.messages;
        seen.unacked += queue.messages_unacknowledged;
        seen.unconsumed += u32::from(queue.consumers == 0 && queue.messages > 0);
        seen.oldest = seen.oldest.max(oldest);
        seen.fullness = seen.fullness.max(fullness(queue));
    }
    places
}

#[expect(clippy::cast_precision_loss, reason = "a share for a gauge")]
fn fullness(queue: &QueueFigures) -> f64 {
    queue.max_messages().map_or(0.0, |max| queue.messages as f64 / max.max(1) as f64)
}

fn show(Place { role, stage }: Place, seen: &Seen) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let (messages, unacked) = (seen.messages as f64, seen.unacked as f64);
    metrics::gauge!("gream_queue_messages", "role" => role, "stage" => stage).set(messages);
    metrics::gauge!("gream_queue_fullness_ratio", "role" => role, "stage" => stage).set(seen.fullness);
    if stage == Place::WAITING {
        metrics::gauge!("gream_queue_unacked_messages", "role" => role).set(unacked);
        metrics::gauge!("gream_queue_unconsumed", "role" => role).set(seen.unconsumed);
        metrics::gauge!("gream_queue_oldest_seconds", "role" => role).set(seen.oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_and_the_oldest_queue_speak_for_their_role() {
        let figures = r#"[
            {"name": "bid.00", "messages": 10, "messages_unacknowledged": 4, "consumers": 1,
             "effective_policy_definition": {"max-length": 100}},
            {"name": "bid.01", "messages": 90, "consumers": 0, "effective_policy_definition": {"max-length": 100}},
            {"name": "bid.02", "consumers": 0}]"#;
        let queues: Vec<QueueFigures> = serde_json::from_str(figures).unwrap();
        let mut before = Before::new();
        let now = Instant::now();
        together(&queues, &mut before, now);
        let later = together(&queues, &mut before, now + Duration::from_secs(9));
        let seen = later[&Place::of("bid.00")];
        assert_eq!((seen.messages, seen.unacked, seen.unconsumed), (100, 4, 1));
        assert_eq!(seen.oldest, Duration::from_secs(9));
        assert!((seen.fullness - 0.9).abs() < 1e-9);
    }
}
