//! The yardstick: the barest loop that could carry these commands. Six rows a command into copies of our tables, no
//! rules, no idempotency.
//!
//! Batched: 100 commands a transaction, two workers, everything in one packet of text. One by one: what most programs
//! do, a transaction a command and a statement a round trip, eight tasks at once.

use crate::{
    Failure,
    broker::{self, BARE_QUEUE, Message, Target},
    market::{CROWD, Market, now},
    meter::{self, Pace},
};
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, raw_sql};
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, task::JoinSet};

/// Commands in one transaction, and how many workers.
const BATCH: usize = 100;
const WORKERS: usize = 2;
const BATCH_PREFETCH: u16 = 200;
/// How long a worker waits for more.
const LINGER: Duration = Duration::from_millis(2);
/// One by one.
const TASKS: usize = 8;
const PREFETCH: u16 = 50;
/// How often a transaction that met a deadlock is tried again.
const TRIES: usize = 20;
/// The tables, as the market has them.
const TABLES: [&str; 5] = ["commands", "bids", "ledger_entries", "balances", "outbox"];

/// How commands are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Batched,
    OneByOne,
}

/// When the messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// While they are carried out.
    Beside,
    /// All before.
    Filled,
}

/// The yardstick's own database and queue.
pub(crate) struct Yardstick {
    pub(crate) amqp: String,
    url: String,
}

/// All that a bare loop needs to know.
#[derive(Deserialize)]
struct Known {
    id: uuid::Uuid,
    user: u64,
    fingerprint: String,
    accepted_at: i64,
}

impl Yardstick {
    /// Copies of the market's tables (with their indexes and checks), and the users' balances.
    pub(crate) async fn make(market: &Market, amqp: &str) -> Result<Self, Failure> {
        let (server, name) = market.url.rsplit_once('/').ok_or("the database's address has no path")?;
        let bare = format!("{name}_bare");
        let mut sql = format!("CREATE DATABASE {bare} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        for table in TABLES {
            write!(sql, "; CREATE TABLE {bare}.{table} LIKE {name}.{table}")?;
        }
        write!(sql, "; INSERT INTO {bare}.balances SELECT * FROM {name}.balances")?;
        market.run(sql).await?;
        broker::declare_bare(amqp).await?;
        Ok(Self { amqp: amqp.to_owned(), url: format!("{server}/{bare}") })
    }

    /// Carries all of `messages` out.
    pub(crate) async fn run(&self, manner: Manner, supply: Supply, messages: Vec<Message>) -> Result<Pace, Failure> {
        let total = messages.len();
        if supply == Supply::Filled {
            broker::publish(&self.amqp, Target::Bare, &messages).await?;
        }
        let done = Arc::new(AtomicUsize::new(0));
        let connection = broker::connect(&self.amqp, "bench yardstick").await?;
        let mut tasks = JoinSet::new();
        // Kept until the connection closes: one that is closing for having been dropped fails that.
        let mut channels = Vec::new();
        match manner {
            Manner::Batched => {
                for _ in 0..WORKERS {
                    let (channel, consumer) = consume(&connection, BATCH_PREFETCH).await?;
                    channels.push(channel.clone());
                    tasks.spawn(batches(channel, consumer, session(&self.url).await?, done.clone()));
                }
            }
            Manner::OneByOne => {
                let (channel, consumer) = consume(&connection, PREFETCH).await?;
                channels.push(channel);
                let consumer = Arc::new(Mutex::new(consumer));
                for _ in 0..TASKS {
                    tasks.spawn(one_by_one(consumer.clone(), session(&self.url).await?, done.clone()));
                }
            }
        }
        if supply == Supply::Beside {
            let amqp = self.amqp.clone();
            tasks.spawn(async move {
                broker::publish(&amqp, Target::Bare, &messages).await?;
                std::future::pending().await
            });
        }
        let pace = tokio::select! {
            pace = meter::until(total, || async { Ok(done.load(Ordering::Relaxed)) }) => pace,
            ended = tasks.join_next() => Err(why(ended)),
        };
        // The last acks are on their way.
        tokio::time::sleep(Duration::from_millis(200)).await;
        tasks.shutdown().await;
        connection.close(200, "done".into()).await?;
        drop(channels);
        pace
    }
}

fn why(ended: Option<Result<Result<(), Failure>, tokio::task::JoinError>>) -> Failure {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => error.into(),
        Some(Ok(Ok(()))) | None => "a task of the yardstick ended".into(),
    }
}

async fn session(url: &str) -> Result<MySqlConnection, Failure> {
    let mut database = MySqlConnection::connect(url).await?;
    raw_sql("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").execute(&mut database).await?;
    Ok(database)
}

async fn consume(connection: &lapin::Connection, prefetch: u16) -> Result<(Channel, Consumer), Failure> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(BARE_QUEUE.into(), "".into(), options, arguments).await?;
    Ok((channel, consumer))
}

async fn batches(
    channel: Channel,
    mut consumer: Consumer,
    mut database: MySqlConnection,
    done: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    while let Some(first) = consumer.next().await {
        let mut batch = vec![first?];
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        while batch.len() < BATCH {
            let next = if let Some(ready) = consumer.next().now_or_never() {
                ready
            } else {
                tokio::select! { next = consumer.next() => next, () = &mut linger => break }
            };
            batch.push(next.ok_or("the consumer ended")??);
        }
        let statements = statements(&batch)?;
        let sql = format!("START TRANSACTION; {}; COMMIT", statements.join("; "));
        commit(&mut database, &[sql]).await?;
        if let Some(last) = batch.last() {
            channel.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
        done.fetch_add(batch.len(), Ordering::Relaxed);
    }
    Err("the consumer ended".into())
}

async fn one_by_one(
    consumer: Arc<Mutex<Consumer>>,
    mut database: MySqlConnection,
    done: Arc<AtomicUsize>,
) -> Result<(), Failure> {
    loop {
        let next = consumer.lock().await.next().await;
        let batch = [next.ok_or("the consumer ended")??];
        let mut sql = vec!["START TRANSACTION".to_owned()];
        sql.extend(statements(&batch)?);
        sql.push("COMMIT".to_owned());
        commit(&mut database, &sql).await?;
        batch[0].ack(BasicAckOptions::default()).await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// A round trip each; all again after a deadlock.
async fn commit(database: &mut MySqlConnection, packets: &[String]) -> Result<(), Failure> {
    let mut tries = 0;
    'again: loop {
        for packet in packets {
            // Numbers and hexadecimal only.
            if let Err(error) = raw_sql(AssertSqlSafe(packet.as_str())).execute(&mut *database).await {
                tries += 1;
                if tries >= TRIES {
                    return Err(error.into());
                }
                raw_sql("ROLLBACK").execute(&mut *database).await?;
                continue 'again;
            }
        }
        return Ok(());
    }
}

/// Six rows a command: inbox, bid, two ledger entries, balance, outbox.
fn statements(batch: &[Delivery]) -> Result<[String; 5], Failure> {
    let at = now().0;
    let [mut commands, mut bids, mut entries, mut outbox] = [const { String::new() }; 4];
    let mut balances: BTreeMap<u64, i64> = BTreeMap::new();
    for (n, delivery) in batch.iter().enumerate() {
        let Known { id, user, fingerprint, accepted_at } = serde_json::from_slice(&delivery.data)?;
        let (hex, comma) = (id.simple(), if n == 0 { "" } else { "," });
        // A number that no other command has, below 2^53.
        let bid = id.as_u128() & 0x1f_ffff_ffff_ffff;
        write!(
            commands,
            "{comma}(0x{hex},'place_buy_bid',{user},0x{fingerprint},'done',0,'{{\"price\":100,\"buyId\":{bid}}}',1,\
             {accepted_at},{at})"
        )?;
        write!(bids, "{comma}({bid},'buy',{},{user},100,100,NULL,NULL,'open',{at},{at},NULL,0x{hex})", bid % 50 + 1)?;
        write!(
            entries,
            "{comma}(0x{hex},0,'hold','available',{user},-100,'bid:{bid}',{at}),(0x{hex},0,'hold','held',{user},100,'bid:{bid}',{at})"
        )?;
        write!(outbox, "{comma}('gream.events','bid.placed','{{\"bid\":{bid},\"user\":{user}}}',{at})")?;
        *balances.entry(if CROWD.contains(&user) { user } else { *CROWD.start() }).or_default() += 100;
    }
    let balances: Vec<String> = balances.iter().map(|(user, hold)| format!("({user},0,{hold})")).collect();
    Ok([
        format!(
            "INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, \
             accepted_at_ms, updated_at_ms) VALUES {commands}"
        ),
        format!(
            "INSERT INTO bids (bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, \
             placed_at_ms, deadline_ms, closed_at_ms, command_id) VALUES {bids}"
        ),
        format!(
            "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, \
             created_at_ms) VALUES {entries}"
        ),
        // In the order of the users: no deadlocks.
        format!(
            "INSERT INTO balances (user_id, available, held) VALUES {} \
             ON DUPLICATE KEY UPDATE available = available - VALUES(held), held = held + VALUES(held)",
            balances.join(",")
        ),
        format!("INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms) VALUES {outbox}"),
    ])
}
