//! The shipped settings, for our code where it runs inside a test.

use contracts::{PartitionCount, Won};
use domain::market::Limits;
use platform::{
    Secret,
    config::{DatabaseConfig, RabbitConfig},
};
use workers::bid::Rules;

pub fn rabbitmq(url: &str) -> RabbitConfig {
    RabbitConfig {
        url: Secret::new(url),
        heartbeat_s: 10,
        connect_timeout_ms: 5_000,
        publish_channels: 64,
        publish_timeout_ms: 20_000,
    }
}

pub fn database(url: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: Secret::new(url),
        pool_max: 1,
        acquire_timeout_ms: 2_000,
        statement_timeout_ms: 10_000,
        session_wait_timeout_s: 60,
        lock_wait_timeout_s: 2,
        replica_url: Secret::default(),
        replica_max_lag_ms: 2_000,
        replica_timeout_ms: 1_000,
        read_your_writes_ms: 4_000,
    }
}

/// A bid worker's, with little of everything.
pub fn rules(partitions: PartitionCount) -> Rules {
    let limits = Limits {
        max_open_bids_per_user_and_product: 10,
        max_retired_per_command: 2,
        accepted_at_skew_ms: 2_000,
        fee_per_mille: 0,
        min_price: Won(100),
        max_price: Won(100_000),
        max_period_days: 30,
        window_slack: 1,
    };
    Rules { limits, partitions, silent_after_ms: 1_000 }
}
