//! MySQL's store conforms to what the simulation's store in memory does: the same tests, over real connections.

#[path = "../../../workers/tests/simulation/conformance.rs"]
mod conformance;

use acceptance::Market;
use conformance::Stage;
use contracts::UserId;
use platform::config::DatabaseConfig;
use workers::bid::{Rules, Store};

struct MySql {
    market: Market,
    config: DatabaseConfig,
    users: [UserId; 2],
    next: std::cell::Cell<u16>,
}

impl MySql {
    async fn new(test: &str) -> Self {
        let market = Market::new(test).await;
        for product in 1..=4 {
            market.product(product).await;
        }
        let users = [market.user(1, 100_000).await, market.user(2, 100_000).await];
        let config = super::database(&format!("{}/{}", market.servers.database_url, market.database_name));
        Self { market, config, users, next: std::cell::Cell::new(0) }
    }
}

impl Stage for MySql {
    type Store = Store;

    async fn connect(&self) -> Store {
        self.next.set(self.next.get() + 1);
        let Self { market, config, next, .. } = self;
        Store::connect(config, &market.database, &market.clock, "conformance", next.get()).await.unwrap()
    }

    fn rules(&self) -> Rules {
        acceptance::settings::rules(self.market.partitions)
    }

    fn users(&self) -> [UserId; 2] {
        self.users
    }
}

#[tokio::test]
async fn mysql_knows_what_was_committed() {
    conformance::what_was_committed_is_known_to_everybody(&MySql::new("store_known").await).await;
}

#[tokio::test]
async fn mysql_locks_a_partition() {
    conformance::a_partition_has_one_holder(&MySql::new("store_guard").await).await;
}

#[tokio::test]
async fn mysql_ends_a_predecessor() {
    conformance::a_predecessor_is_ended_and_has_done_nothing(&MySql::new("store_predecessor").await).await;
}

#[tokio::test]
async fn mysql_locks_a_balance() {
    conformance::a_balance_has_one_holder(&MySql::new("store_balance").await).await;
}

#[tokio::test]
async fn mysql_takes_a_voucher_once() {
    conformance::a_voucher_is_offered_once(&MySql::new("store_voucher").await).await;
}
