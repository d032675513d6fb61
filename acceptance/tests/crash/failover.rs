//! One of several servers dies, and its clients go on with another: the database's nodes, the broker's, Redis's sentinels.
//!
//! Here with two servers of each kind at most; `make run-ha` and `make chaos` kill those of real clusters.

use super::crossing_commands;
use acceptance::{
    Market, Servers,
    replica::Replica,
    visitor::{send, start_api},
    wait::{becomes, eventually},
};
use serde_json::json;
use sqlx::MySqlPool;
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

const ORDERS: &str = "SELECT COUNT(*) FROM orders";
/// Nobody listens there.
const DEAD_BROKER: &str = "127.0.0.1:9";

async fn can_write_to_the_replica(replica: &Replica, yes: bool) {
    replica.ask(format!("SET GLOBAL read_only = {}", u8::from(!yes))).await;
}

#[tokio::test]
async fn the_writing_database_is_killed_and_everybody_follows_to_the_next_one() {
    let servers = Servers::from_environment();
    let replica = Replica::start(&servers).await;
    can_write_to_the_replica(&replica, false).await;
    let mut market = Market::new("failover_database").await;
    let first = format!("{}/{}", servers.database_url, market.database_name);
    let second = Replica::url(&market.database_name);
    market.set("GREAM__DATABASE__URL", format!("{first},{second}"));
    let done = tokio::spawn(follows(market, replica, second)).await;
    servers.mend().await;
    done.unwrap();
}

async fn follows(market: Market, replica: Replica, second: String) {
    let commands = crossing_commands(&market, 40).await;
    let worker = market.worker(&["bid", "relay"]).await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.broker.publish(market.partitions, &commands[..40]).await;
    becomes("the first half has traded", 20, || market.number(ORDERS)).await;
    let other = MySqlPool::connect(&second).await.unwrap();
    let traded = async || sqlx::query_scalar::<_, i64>(ORDERS).fetch_one(&other).await.unwrap();
    becomes("the replica has it", 20, &traded).await;

    market.servers.signal("mysql", "KILL").await;
    market.broker.publish(market.partitions, &commands[40..]).await;
    // Nobody writes to a server that only follows, whatever happened to the other one.
    eventually("the worker has tried", || async {
        (worker.logged().matches("lets go of everything").count() >= 3).then_some(())
    })
    .await;
    assert_eq!(traded().await, 20);

    can_write_to_the_replica(&replica, true).await;
    becomes("the second half trades there", 40, &traded).await;
    let bid =
        || send(alice.request("POST", "/api/buy/1").header("Idempotency-Key", "k").json(&json!({"price": 1_000})));
    eventually("the API writes there too", || async { (bid().await.status == 200).then_some(()) }).await;
    let sources = operator::Sources { database: other.clone(), ..market.audit_sources() };
    let report = operator::audit_at_rest(&sources, acceptance::wait::PATIENCE).await.unwrap();
    assert!(report.holds_at_rest(), "{}", serde_json::to_string_pretty(&report).unwrap());
    assert_eq!(market.broker.depth("dead.bid").await, 0, "nobody was to blame");
    other.close().await;
    replica.ask(format!("DROP DATABASE {}", market.database_name)).await;
    replica.end().await;
}

#[tokio::test]
async fn a_broker_that_is_listed_and_not_there_keeps_nobody_from_the_others() {
    let mut market = Market::new("failover_broker").await;
    let here = market.broker.url().to_owned();
    let at = here.find('@').unwrap() + 1;
    let behind = here[at..].find('/').unwrap() + at;
    let dead = format!("{}{DEAD_BROKER}{}", &here[..at], &here[behind..]);
    market.set("GREAM__RABBITMQ__URL", format!("{dead},{here},{dead}"));
    let commands = crossing_commands(&market, 10).await;
    // Each connection begins at a node of its own choice: a dozen of them meet each order.
    let _workers = [market.worker(&["bid", "relay"]).await, market.worker(&["bid", "relay"]).await];
    let (_api, visitor) = start_api(&market).await;
    market.broker.publish(market.partitions, &commands).await;
    becomes("every command is done", 20, || market.count("done")).await;
    let alice = visitor.join("alice").await;
    alice.post("/api/buy/1", &json!({"price": 1_000})).await.ok();
}

/// A Redis with a replica, and three sentinels that watch them.
struct Watched {
    servers: Vec<Child>,
    url: String,
}

impl Watched {
    async fn start(folder: &Path) -> Self {
        let ports = free_ports(5);
        let [master, replica, sentinels @ ..] = ports.as_slice() else { panic!() };
        let password = "requirepass of-the-test\nmasterauth of-the-test\n";
        let mut servers = vec![
            redis(folder, *master, password),
            redis(folder, *replica, &format!("{password}replicaof 127.0.0.1 {master}\n")),
        ];
        for sentinel in sentinels {
            let watch = format!(
                "sentinel monitor gream 127.0.0.1 {master} 2\nsentinel auth-pass gream of-the-test\n\
                 sentinel down-after-milliseconds gream 1000\nsentinel failover-timeout gream 3000\n"
            );
            servers.push(redis_with(folder, *sentinel, &watch, &["--sentinel"]));
        }
        let sentinels: Vec<String> = sentinels.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let url = format!("redis-sentinel://:of-the-test@{}/0#gream", sentinels.join(","));
        let watched = Self { servers, url };
        for port in &ports[2..] {
            watched.knows_everybody(*port).await;
        }
        watched
    }

    /// A sentinel votes only when it has met the others and the replica.
    async fn knows_everybody(&self, sentinel: u16) {
        let client = redis::Client::open(format!("redis://127.0.0.1:{sentinel}/")).unwrap();
        eventually("a sentinel knows everybody", || async {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let known: std::collections::HashMap<String, String> =
                redis::cmd("SENTINEL").arg("MASTER").arg("gream").query_async(&mut connection).await.ok()?;
            (known["num-other-sentinels"] == "2" && known["num-slaves"] == "1").then_some(())
        })
        .await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn redis(folder: &Path, port: u16, more: &str) -> Child {
    redis_with(folder, port, more, &[])
}

fn redis_with(folder: &Path, port: u16, more: &str, options: &[&str]) -> Child {
    let home = folder.join(format!("redis-{port}"));
    std::fs::create_dir(&home).unwrap();
    let configuration = home.join("redis.conf");
    std::fs::write(&configuration, format!("port {port}\nbind 127.0.0.1\nsave \"\"\ndir {}\n{more}", home.display()))
        .unwrap();
    Command::new("redis-server")
        .arg(configuration)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn the_master_of_redis_is_killed_and_outcomes_come_by_the_next_one() {
    let mut market = Market::new("failover_redis").await;
    let mut watched = Watched::start(market.folder()).await;
    market.set("GREAM__REDIS__URL", &watched.url);
    market.product(1).await;
    let _worker = market.worker(&["bid"]).await;
    let (mut api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    let bid = async || alice.post("/api/buy/1", &json!({"price": 1_000})).await.ok();
    bid().await;
    assert_eq!(told_by_redis(&api.address("admin").await).await, Some(1));

    // kill -9
    watched.servers[0].kill().unwrap();
    watched.servers[0].wait().unwrap();
    bid().await;
    let admin = api.address("admin").await;
    let told = async || told_by_redis(&admin).await;
    becomes("subscribed to the new master", Some(1), &told).await;
    bid().await;
}

/// Whether the API is subscribed to outcomes.
async fn told_by_redis(admin: &str) -> Option<u64> {
    let metrics = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("gream_redis_link_up{link=\"receives\"} "));
    line?.parse().ok()
}
