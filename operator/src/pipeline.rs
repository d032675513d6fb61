//! The pipeline at one moment, for who watches it: the status, who holds which partition, what flows, and which conditions
//! of the alerts hold now.
//!
//! Promises: read-only; what RabbitMQ's page cannot tell is left out, and said. Doesn't: know how long a condition has held,
//! or what only processes' own metrics tell: `deploy/prometheus/gream.rules.yml` does.

mod firing;

pub use firing::Firing;

use crate::{
    limits::{TurnedRole, turned},
    status::{Status, StatusError, status_with},
};
use contracts::{PartitionCount, PartitionId, Place, topology::bid_queue};
use futures_util::future::BoxFuture;
use platform::{
    Clock,
    database::within,
    rabbitmq::{ManagementPage, QueueFigures},
};
use serde::Serialize;
use sqlx::MySqlPool;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The circuit breaker to Toss.
#[derive(Clone, Debug, Serialize)]
pub struct BreakerNow {
    /// Whether calls pass.
    pub passes: bool,
    /// How it stands, for people.
    pub told: String,
}

/// Asks for the breaker: its row is the payment workers' own.
pub type AskBreaker = Arc<dyn Fn() -> BoxFuture<'static, Result<BreakerNow, sqlx::Error>> + Send + Sync>;

/// The pipeline at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Pipeline {
    /// Duties, queues by role, what waits.
    #[serde(flatten)]
    pub status: Status,
    /// By role, what flows; nothing where RabbitMQ's page was not asked.
    pub flows: BTreeMap<&'static str, Flow>,
    /// The order books' partitions.
    pub partitions: Vec<PartitionNow>,
    /// The breaker.
    pub breaker: BreakerNow,
    /// What operators turned, role by role.
    pub limits: Vec<TurnedRole>,
    /// Why nothing is known of the queues, if so.
    pub queues_unknown: Option<String>,
    /// Conditions of the alerts that hold at this moment, the worst first.
    pub firing: Vec<Firing>,
}

/// What goes through the queues of a role, or through one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Flow {
    /// Who consumes.
    pub consumers: u64,
    /// Messages that came a second, lately.
    pub in_per_s: f64,
    /// Messages that were carried out a second, lately.
    pub out_per_s: f64,
    /// How full its fullest queue is; 1 is full.
    pub fullness: f64,
}

impl Flow {
    fn add(&mut self, queue: &QueueFigures) {
        self.consumers += queue.consumers;
        self.in_per_s += queue.published_per_s();
        self.out_per_s += queue.acked_per_s();
        self.fullness = self.fullness.max(fullness(queue));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of a queue's limit, for people")]
fn fullness(queue: &QueueFigures) -> f64 {
    queue.max_messages().map_or(0.0, |most| queue.messages as f64 / most.max(1) as f64)
}

/// One partition of the order books.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionNow {
    /// Its number.
    pub partition: i16,
    /// Who carried out its latest batch: a worker, and its lane. Empty before the first one.
    pub holder: String,
    /// Milliseconds since that worker said that it is alive; nothing when it has left.
    pub holder_seen_ms: Option<i64>,
    /// How often it was handed over.
    pub epoch: i64,
    /// Messages on its queue, those in a worker's hands included.
    pub waiting: Option<u64>,
    /// What flows through its queue.
    pub flow: Option<Flow>,
}

/// Where the pipeline is seen from.
#[derive(Clone)]
pub struct Sight {
    /// MySQL.
    pub database: MySqlPool,
    /// RabbitMQ's page.
    pub page: Option<ManagementPage>,
    /// To ask it with.
    pub http: reqwest::Client,
    /// What a scheduler should do.
    pub duties: Vec<&'static str>,
    /// The breaker.
    pub breaker: AskBreaker,
    /// The time.
    pub clock: Clock,
    /// The partitions' number.
    pub partitions: PartitionCount,
    /// One question may take this long.
    pub limit: Duration,
}

impl Sight {
    /// Looks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn look(&self) -> Result<Pipeline, StatusError> {
        let (figures, queues_unknown) = self.queues().await;
        let at = self.clock.now();
        let status = status_with(&self.database, figures.as_deref(), &self.duties, at, self.limit).await?;
        let mut flows: BTreeMap<&'static str, Flow> = BTreeMap::new();
        let waiting = |queue: &&QueueFigures| Place::of(&queue.name).stage == Place::WAITING;
        for queue in figures.iter().flatten().filter(waiting) {
            flows.entry(Place::of(&queue.name).role).or_default().add(queue);
        }
        let mut partitions = within(self.limit, self.partitions()).await?;
        for partition in &mut partitions {
            let name = u16::try_from(partition.partition).map(|number| bid_queue(PartitionId(number)));
            let named = |queue: &&QueueFigures| name.as_ref().is_ok_and(|name| *name == queue.name);
            let Some(queue) = figures.iter().flatten().find(named) else { continue };
            let mut flow = Flow::default();
            flow.add(queue);
            (partition.waiting, partition.flow) = (Some(queue.messages), Some(flow));
        }
        let breaker = (self.breaker)().await?;
        let limits = turned(&self.database, self.limit).await?;
        let mut pipeline = Pipeline { status, flows, partitions, breaker, limits, queues_unknown, firing: Vec::new() };
        pipeline.firing = firing::firing(&pipeline);
        Ok(pipeline)
    }

    async fn queues(&self) -> (Option<Vec<QueueFigures>>, Option<String>) {
        let Some(page) = &self.page else {
            return (None, Some("monitor.rabbitmq_page does not name RabbitMQ's page".to_owned()));
        };
        match page.queues(&self.http).await {
            Ok(figures) => (Some(figures), None),
            Err(error) => (None, Some(error.to_string())),
        }
    }

    async fn partitions(&self) -> Result<Vec<PartitionNow>, sqlx::Error> {
        let now = self.clock.now();
        // The owner's name is the worker's, and behind a slash its lane.
        let rows = sqlx::query!(
            r#"SELECT p.partition_id, p.owner, p.epoch, w.seen_at_ms AS "seen_at_ms?"
               FROM partitions p LEFT JOIN worker_presence w ON w.worker = SUBSTRING_INDEX(p.owner, '/', 1)
               ORDER BY p.partition_id LIMIT ?"#,
            self.partitions.get()
        )
        .fetch_all(&self.database)
        .await?;
        let partitions = rows.into_iter().map(|row| PartitionNow {
            partition: row.partition_id,
            holder: row.owner,
            holder_seen_ms: row.seen_at_ms.map(|seen| now.0.saturating_sub(seen)),
            epoch: row.epoch,
            waiting: None,
            flow: None,
        });
        Ok(partitions.collect())
    }
}
