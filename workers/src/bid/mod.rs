//! The bid worker: carries bid commands out, many in one transaction, in the order in which they were accepted.
//!
//! ```text
//! queues bid.NN ─► lane (one connection to each server) ─► batch ─► rules ─► one transaction ─► acks ─► outcomes
//! ```
//! Promises: a command's effect and its outcome commit together, once; a message is acked only after that. While MySQL
//! or the broker is away nothing is burnt and nothing is dead-lettered: the lane lets go of everything and tries again.
//! Doesn't: use delayed retries. A bid that waited while others passed it would lose its place.

mod batch;
mod intake;
mod lane;
mod port;
mod presence;
mod store;
mod suspects;

pub use batch::{Rules, carry_out};
pub use port::{BidStore, Contention, Finished, Guard, StoreError};
pub use store::Store;

use contracts::{PartitionCount, PartitionId, Won};
use domain::market::Limits;
use platform::{Clock, Config, Shutdown, outcomes::OutcomePublisher, rabbitmq::Publisher, role_limits::TurnedLimits};
use sqlx::MySqlPool;
use std::sync::Arc;

/// Rows that a window has beyond what a batch can consume: the user's own bids and a few past their deadline.
const WINDOW_SLACK: u32 = 8;
/// Bids past their deadline that one command retires on its way through the book.
const MAX_RETIRED_PER_COMMAND: usize = 16;

/// What the bid worker needs.
#[derive(Clone)]
pub struct BidWorker {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// For presence; lanes have connections of their own.
    pub database: MySqlPool,
    /// For dead letters.
    pub publisher: Publisher,
    /// For outcomes.
    pub outcomes: OutcomePublisher,
    /// What operators have turned.
    pub limits: TurnedLimits,
    /// When to stop.
    pub shutdown: Shutdown,
    /// This process, as in `partitions.owner` and `worker_presence`.
    pub name: String,
}

impl BidWorker {
    /// Runs every lane until shutdown.
    pub async fn run(self, partitions: PartitionCount) {
        let (share, presence) = presence::start(&self);
        let lanes = (0..self.config.bid_worker.lanes).map(|lane| {
            let mine: Vec<PartitionId> =
                partitions.all().filter(|partition| partition.0 % self.config.bid_worker.lanes == lane).collect();
            let lane = lane::Lane {
                worker: self.clone(),
                number: lane,
                partitions: mine,
                count: partitions,
                share: share.clone(),
            };
            self.shutdown.spawn(lane.run())
        });
        let lanes: Vec<_> = lanes.collect();
        for lane in lanes {
            if let Err(error) = lane.await {
                // A lane ends only by shutdown; a bug in it must not look like a worker without work.
                tracing::error!(%error, "a lane broke; stopping this process so that its supervisor starts a new one");
                self.shutdown.request();
            }
        }
        // It takes our name off the list and ends. Aborted in the middle of that, it would leave us there, and our
        // successor would keep giving up our share of the partitions until we count as silent.
        drop(presence.await);
    }

    fn market_limits(&self) -> Limits {
        let market = &self.config.market;
        Limits {
            max_open_bids_per_user_and_product: market.max_open_bids_per_user_and_product,
            max_retired_per_command: MAX_RETIRED_PER_COMMAND,
            accepted_at_skew_ms: self.config.commands.accepted_at_skew_ms,
            fee_per_mille: market.fee_per_mille,
            min_price: Won(market.min_price),
            max_price: Won(market.max_price),
            max_period_days: market.max_period_days,
            window_slack: WINDOW_SLACK,
        }
    }
}
