//! A market with dead letters, and a command line to act on them.

use crate::{
    Market,
    commands::{WEEK_MS, envelope},
    process::Process,
    wait::becomes,
};
use contracts::{Command, Envelope, Picture, ProductId, UserId, Won};
use operator::dlq::{DeadLetters, Filter};
use platform::{Config, Shutdown, rabbitmq::Publisher};
use serde_json::Value;

pub const DEAD: &str = "dead.bid";

/// A market with a seller, a product, and workers that carry bids out.
pub struct Stage {
    pub market: Market,
    pub seller: UserId,
    pub product: ProductId,
    pub workers: Process,
}

impl Stage {
    pub async fn new(test: &str) -> Self {
        let mut market = Market::new(test).await;
        market.set("GREAM__MARKET__MAX_OPEN_BIDS_PER_USER_AND_PRODUCT", 10_000);
        let (seller, product) = (market.user(1, 0).await, market.product(1).await);
        let workers = market.worker(&["bid", "relay"]).await;
        Self { market, seller, product, workers }
    }

    /// A bid whose picture's key is longer than its column: the database refuses it.
    pub fn poison(&self, name: &str, valid_ms: i64) -> Envelope {
        let now = self.market.now();
        let picture = Picture { key: format!("{name:x<300}"), sha256: "ab".repeat(32), ..Picture::default() };
        let (product, deadline) = (self.product, now.plus_ms(WEEK_MS));
        let command = Command::PlaceSellBid { product, price: Won(1_000), period_days: 7, deadline, picture };
        let mut envelope = envelope(name, self.seller, now, command);
        envelope.valid_until = Some(now.plus_ms(valid_ms));
        envelope
    }

    /// Publishes what will be dead letters, and waits until they are.
    pub async fn poisoned(&self, count: usize) -> Vec<Envelope> {
        let poison: Vec<Envelope> = (0..count).map(|n| self.poison(&format!("p{n}"), 3_600_000)).collect();
        self.market.broker.publish(self.market.partitions, &poison).await;
        self.letters_become(u32::try_from(count).unwrap()).await;
        poison
    }

    pub async fn letters_become(&self, count: u32) {
        becomes("so many dead letters", count, || self.market.broker.depth(DEAD)).await;
    }

    /// The cause of the poison is mended: the column is as wide as the keys.
    pub async fn mend(&self) {
        let widen =
            "ALTER TABLE gifticons MODIFY picture_key VARCHAR(400) CHARACTER SET ascii COLLATE ascii_bin NOT NULL";
        sqlx::query(widen).execute(&self.market.database).await.unwrap();
    }

    pub async fn ok(&self, arguments: &[&str]) -> String {
        self.market.gream_ok(arguments).await
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        self.market.gream_json(arguments).await
    }

    pub async fn refused(&self, arguments: &[&str]) -> String {
        self.market.gream_refused(arguments).await
    }

    /// The names of all letters, in the order of their queue.
    pub async fn order(&self) -> Vec<String> {
        let config = Config::from_environment(self.market.environment.clone().into_iter().collect()).unwrap();
        let (shutdown, topology) = (Shutdown::new(), self.market.topology());
        let publisher = Publisher::start(config.rabbitmq.clone(), topology, "test".to_owned(), &shutdown);
        let connections = (self.market.database.clone(), publisher);
        let letters = DeadLetters::new(&config, connections, self.market.partitions, "test");
        let (letters, _) = letters.look(&Filter::default()).await.unwrap();
        letters.iter().map(|letter| letter.key.to_string()).collect()
    }

    pub async fn bids(&self) -> i64 {
        self.market.number("SELECT COUNT(*) FROM bids").await
    }

    /// Each bid that there is was placed by a command of its own.
    pub async fn nothing_happened_twice(&self) {
        let number = async |sql| self.market.number(sql).await;
        assert_eq!(number("SELECT COUNT(*) - COUNT(DISTINCT command_id) FROM bids").await, 0);
        assert_eq!(number("SELECT COUNT(*) FROM bids").await, number("SELECT COUNT(*) FROM gifticons").await);
    }

    /// The audit, with the broker's queues.
    pub async fn audit_holds(&self) {
        let sources = operator::Sources { broker: Some(self.market.broker.page()), ..self.market.audit_sources() };
        let report = operator::audit_at_rest(&sources, crate::wait::PATIENCE).await.unwrap();
        assert!(report.holds_at_rest(), "{report}");
    }
}
