//! The scheduler: notices what became due, and sends commands about it. By itself it changes nothing but what is made
//! of other tables (or of Toss's lists) and could be made again, and cleans away what is over: ended sessions, old
//! webhooks, and pictures that nobody needs any more.
//!
//! Promises: any number of schedulers may run; their commands have derived ids, so what two of them send is one command.
//! If none runs nobody trades wrongly: reads and matching exclude bids past their deadline anyway. But things stay: what
//! such bids hold, a voucher's claim until its offer is expired, charges that are stuck in between, debts, and pictures.

mod charges;
mod clean_up;
mod compare_days;
mod daily_prices;
mod duty;
mod ended_sessions;
mod expiring_gifticons;
mod old_history;
mod old_notifications;
mod old_webhooks;
mod send;
mod stale_bids;
mod unneeded_pictures;

pub use duty::DutyName;

use contracts::PartitionCount;
use platform::{Clock, Config, Shutdown, pictures::PictureStore, rabbitmq::Publisher, role_limits::TurnedLimits};
use sqlx::MySqlPool;
use std::sync::Arc;

/// What the scheduler needs.
#[derive(Clone)]
pub struct Scheduler {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// Where stale bids are found.
    pub database: MySqlPool,
    /// Where commands go.
    pub publisher: Publisher,
    /// Where pictures are.
    pub pictures: PictureStore,
    /// What operators have turned.
    pub limits: TurnedLimits,
    /// When to stop.
    pub shutdown: Shutdown,
    /// This process, as it shows in `gream status`.
    pub name: String,
}

impl Scheduler {
    /// Runs every duty until shutdown.
    pub async fn run(self, partitions: PartitionCount) {
        tokio::join!(
            stale_bids::run(&self, partitions),
            daily_prices::run(&self),
            unneeded_pictures::run(&self),
            charges::run(&self, partitions),
            compare_days::run(&self),
            clean_up::run(&self),
            expiring_gifticons::run(&self)
        );
    }
}
