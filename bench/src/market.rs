//! A market of the bench's own: a database with users, products, sessions and open bids, written in bulk.
//!
//! Promises: what it writes is what the workers would have written (commands, ledger entries, balances, sequences), so
//! that the audit holds. Doesn't: write while a worker is at it; call it between runs.

use crate::{
    Failure,
    mix::{self, Act},
};
use contracts::{BidId, PartitionCount, ProductId, Side, UnixMs, partition::id_from_sequence};
use rand::{Rng, rngs::StdRng};
use sqlx::{AssertSqlSafe, MySqlPool, Row, mysql::MySqlPoolOptions, raw_sql};
use std::{
    collections::BTreeMap,
    fmt::Write,
    ops::RangeInclusive,
    time::{SystemTime, UNIX_EPOCH},
};

/// Products that the commands spread over.
pub(crate) const PRODUCTS: RangeInclusive<u64> = 1..=50;
/// The product that everybody wants.
pub(crate) const HOT_PRODUCT: u64 = 51;
/// Users with a session, for HTTP.
pub(crate) const VISITORS: RangeInclusive<u64> = 1..=400;
/// Users whose commands are put on the queue directly.
pub(crate) const CROWD: RangeInclusive<u64> = 1_001..=11_000;
/// Users whose bids only stand in the book.
pub(crate) const STANDERS: RangeInclusive<u64> = 20_001..=26_000;
/// Those of them who read, and so have a session and long histories.
pub(crate) const READERS: RangeInclusive<u64> = 20_001..=20_400;
/// Each user's points at the beginning.
const POINTS: i64 = 10_000_000_000;
/// Bids written in one transaction.
const CHUNK: usize = 2_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// A database, and the rules of its ids.
#[derive(Clone, Debug)]
pub(crate) struct Market {
    pub(crate) url: String,
    pub(crate) pool: MySqlPool,
    pub(crate) partitions: PartitionCount,
}

/// A bid to be in the book.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resting {
    product: u64,
    side: Side,
    user: u64,
    price: i64,
}

/// What must be there before a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stock {
    /// Bids of each kind that is taken, on each product.
    pub(crate) each: usize,
    /// Bids to be cancelled.
    pub(crate) cancels: usize,
}

/// A bid that may be cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) bid: BidId,
    pub(crate) side: Side,
    pub(crate) user: u64,
}

pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Market {
    /// Makes the database `name` on the server of `url` (whose path is another database), with schema, users and
    /// products.
    pub(crate) async fn make(url: &str, name: &str, partitions: PartitionCount) -> Result<Self, Failure> {
        let (server, _) = url.rsplit_once('/').ok_or("the database's address has no path")?;
        let first = MySqlPoolOptions::new().max_connections(1).connect(url).await?;
        let make = format!("CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        raw_sql(AssertSqlSafe(make)).execute(&first).await?;
        first.close().await;
        let url = format!("{server}/{name}");
        let pool = MySqlPoolOptions::new().max_connections(4).connect(&url).await?;
        platform::database::migrate(&pool, partitions, now()).await?;
        let market = Self { url, pool, partitions };
        market.people().await?;
        market.products().await?;
        Ok(market)
    }

    pub(crate) async fn run(&self, sql: String) -> Result<(), Failure> {
        raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await?;
        Ok(())
    }

    async fn people(&self) -> Result<(), Failure> {
        let (at, ends) = (now().0, now().plus_ms(14 * DAY_MS).0);
        let everybody: Vec<u64> = VISITORS.chain(CROWD).chain(STANDERS).collect();
        for some in everybody.chunks(CHUNK) {
            let rows = |row: &dyn Fn(u64) -> String| some.iter().map(|user| row(*user)).collect::<Vec<_>>().join(",");
            self.run(format!(
                "START TRANSACTION; \
                 INSERT INTO users (user_id, login_id, nickname, role, provider, created_at_ms) VALUES {}; \
                 INSERT INTO balances (user_id, available, held) VALUES {}; \
                 INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, \
                 accepted_at_ms, updated_at_ms) VALUES {}; \
                 INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, \
                 created_at_ms) VALUES {}; COMMIT",
                rows(&|user| format!("({user},'u{user}','u{user}','user','local',{at})")),
                rows(&|user| format!("({user},{POINTS},0)")),
                rows(&|user| format!("(0x{user:032x},'sign_up',{user},0x{:064x},'done',0,'{{}}',1,{at},{at})", 0)),
                rows(&|user| format!(
                    "(0x{user:032x},0,'gift','available',{user},{POINTS},'sign-up',{at}),\
                     (0x{user:032x},0,'gift','gift',0,-{POINTS},'sign-up',{at})"
                )),
            ))
            .await?;
        }
        let sessions: Vec<String> =
            VISITORS.chain(READERS).map(|user| format!("(0x{},{user},{at},{ends})", session(user).simple())).collect();
        self.run(format!(
            "INSERT INTO sessions (session_id, user_id, created_at_ms, expires_at_ms) VALUES {}",
            sessions.join(",")
        ))
        .await
    }

    async fn products(&self) -> Result<(), Failure> {
        let rows: Vec<String> = PRODUCTS
            .chain([HOT_PRODUCT])
            .map(|id| format!("({id},'bench','product {id}','something to measure',10000,'',0)"))
            .collect();
        self.run(format!(
            "INSERT INTO products (product_id, brand, name, description, price, image_url, created_at_ms) VALUES {}",
            rows.join(",")
        ))
        .await
    }

    /// Bids that nobody takes, spread over all products and both sides.
    pub(crate) async fn stand(&self, count: usize, luck: &mut StdRng) -> Result<(), Failure> {
        let mut left = count;
        while left > 0 {
            let some = left.min(50_000);
            let bids: Vec<Resting> = (0..some)
                .map(|n| {
                    let side = if n % 2 == 0 { Side::Buy } else { Side::Sell };
                    let (product, user) = (luck.random_range(PRODUCTS), luck.random_range(STANDERS));
                    Resting { product, side, user, price: luck.random_range(mix::standing_prices(side)) }
                })
                .collect();
            self.place(&bids, luck).await?;
            left -= some;
        }
        Ok(())
    }

    /// Sees to it that `products` have what is taken, and that bids of `users` can be cancelled; gives these.
    pub(crate) async fn stock_up(
        &self,
        products: &[u64],
        users: &RangeInclusive<u64>,
        stock: Stock,
        luck: &mut StdRng,
    ) -> Result<Vec<Kept>, Failure> {
        let Stock { each, cancels } = stock;
        let mut missing = Vec::new();
        for act in [Side::Buy, Side::Sell].into_iter().flat_map(|side| [Act::Rest(side), Act::Offer(side)]) {
            let (Act::Rest(side) | Act::Offer(side)) = act else { continue };
            let there = self.open_by_product(side, act).await?;
            for product in products {
                let short = each.saturating_sub(there.get(product).copied().unwrap_or(0));
                missing.extend((0..short).map(|_| Resting {
                    product: *product,
                    side,
                    user: luck.random_range(CROWD),
                    price: act.price(luck),
                }));
            }
        }
        let kept = self.kept(products, users, cancels).await?.len();
        missing.extend((kept..cancels).map(|n| {
            let side = if n % 3 == 0 { Side::Sell } else { Side::Buy };
            let product = products[luck.random_range(0..products.len())];
            Resting { product, side, user: luck.random_range(users.clone()), price: Act::Keep(side).price(luck) }
        }));
        self.place(&missing, luck).await?;
        self.kept(products, users, cancels).await
    }

    async fn open_by_product(&self, side: Side, act: Act) -> Result<BTreeMap<u64, usize>, Failure> {
        let prices = act.prices();
        // On both sides the better prices are in front, and none of them are the standing ones: this reads only stock.
        let book = |price: i64| if side == Side::Sell { price } else { -price };
        let (low, high) = (book(prices.start), book(prices.end - 1));
        let sql = format!(
            "SELECT product_id, COUNT(*) FROM bids WHERE product_id BETWEEN 1 AND {HOT_PRODUCT} AND side = '{}' \
             AND state = 'open' AND book_price BETWEEN {} AND {} GROUP BY product_id",
            side.as_str(),
            low.min(high),
            low.max(high)
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| Ok((u64::try_from(row.try_get::<i64, _>(0)?)?, usize::try_from(row.try_get::<i64, _>(1)?)?)))
            .collect()
    }

    async fn kept(&self, products: &[u64], users: &RangeInclusive<u64>, most: usize) -> Result<Vec<Kept>, Failure> {
        let (buys, sells) = (Act::Keep(Side::Buy).prices(), Act::Keep(Side::Sell).prices());
        let products: Vec<String> = products.iter().map(ToString::to_string).collect();
        let sql = format!(
            "SELECT bid_id, side, user_id FROM bids FORCE INDEX (bids_user) \
             WHERE user_id BETWEEN {} AND {} AND state = 'open' AND product_id IN ({}) \
             AND ((side = 'buy' AND price BETWEEN {} AND {}) OR (side = 'sell' AND price BETWEEN {} AND {})) LIMIT {most}",
            users.start(),
            users.end(),
            products.join(","),
            buys.start,
            buys.end - 1,
            sells.start,
            sells.end - 1
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(Kept {
                    bid: BidId(u64::try_from(row.try_get::<i64, _>(0)?)?),
                    side: if row.try_get::<&str, _>(1)? == "buy" { Side::Buy } else { Side::Sell },
                    user: u64::try_from(row.try_get::<i64, _>(2)?)?,
                })
            })
            .collect()
    }

    /// How many bids are open.
    pub(crate) async fn open_bids(&self) -> Result<usize, Failure> {
        let open: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM bids WHERE state = 'open'").fetch_one(&self.pool).await?;
        Ok(usize::try_from(open)?)
    }

    /// The last number of each partition.
    pub(crate) async fn sequences(&self) -> Result<BTreeMap<u16, u64>, Failure> {
        let rows = sqlx::query("SELECT partition_id, last_sequence FROM partitions").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let (partition, last): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
                Ok((u16::try_from(partition)?, u64::try_from(last)?))
            })
            .collect()
    }

    /// Writes `bids` as if their commands had been carried out.
    async fn place(&self, bids: &[Resting], luck: &mut StdRng) -> Result<(), Failure> {
        let mut sequences = self.sequences().await?;
        for some in bids.chunks(CHUNK) {
            let mut rows = Rows::default();
            for bid in some {
                let partition = self.partitions.of_product(ProductId(bid.product));
                let last = sequences.entry(partition.0).or_default();
                *last += 2;
                let id = |sequence| id_from_sequence(partition, sequence).ok_or("the partition has no id left");
                rows.add(bid, id(*last - 1)?, id(*last)?, luck.random())?;
            }
            self.run(rows.statements(&sequences)?).await?;
        }
        Ok(())
    }
}

/// The session of a visitor.
pub(crate) fn session(user: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(0xbe9c_0000_0000_0000_0000_0000_0000_0000 | u128::from(user))
}

/// The rows of one chunk, as SQL.
#[derive(Default)]
struct Rows {
    commands: String,
    bids: String,
    gifticons: String,
    entries: String,
    holds: BTreeMap<u64, i64>,
}

impl Rows {
    fn add(&mut self, bid: &Resting, id: u64, gifticon: u64, command: u128) -> Result<(), std::fmt::Error> {
        let Resting { product, side, user, price } = *bid;
        let (at, ends) = (now().0, now().plus_ms(30 * DAY_MS).0);
        let (side, name) = (side.as_str(), if side == Side::Buy { "buyId" } else { "sellId" });
        write!(
            self.commands,
            ",(0x{command:032x},'place_{side}_bid',{user},0x{command:064x},'done',0,\
             '{{\"price\":{price},\"{name}\":{id}}}',1,{at},{at})"
        )?;
        let (hold, offered) = if side == "buy" { (price, "NULL".to_owned()) } else { (0, gifticon.to_string()) };
        write!(
            self.bids,
            ",({id},'{side}',{product},{user},{price},{hold},NULL,{offered},'open',{at},{ends},NULL,0x{command:032x})"
        )?;
        if hold == 0 {
            return write!(
                self.gifticons,
                ",({gifticon},{user},{product},'bench/{gifticon}',0x{command:064x},0x{command:032x},{at})"
            );
        }
        *self.holds.entry(user).or_default() += hold;
        write!(
            self.entries,
            ",(0x{command:032x},0,'hold','available',{user},-{hold},'bid:{id}',{at}),\
             (0x{command:032x},0,'hold','held',{user},{hold},'bid:{id}',{at})"
        )
    }

    fn statements(&self, sequences: &BTreeMap<u16, u64>) -> Result<String, std::fmt::Error> {
        let mut sql = "START TRANSACTION".to_owned();
        let mut insert = |head: &str, rows: &str, tail: &str| match rows.strip_prefix(',') {
            Some(rows) => write!(sql, "; INSERT INTO {head} VALUES {rows}{tail}"),
            None => Ok(()),
        };
        let mut holds = String::new();
        for (user, hold) in &self.holds {
            write!(holds, ",({user},0,{hold})")?;
        }
        insert(
            "commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, \
             updated_at_ms)",
            &self.commands,
            "",
        )?;
        insert(
            "bids (bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, placed_at_ms, \
             deadline_ms, closed_at_ms, command_id)",
            &self.bids,
            "",
        )?;
        insert(
            "gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, command_id, created_at_ms)",
            &self.gifticons,
            "",
        )?;
        insert(
            "ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)",
            &self.entries,
            "",
        )?;
        insert(
            "balances (user_id, available, held)",
            &holds,
            " ON DUPLICATE KEY UPDATE available = available - VALUES(held), held = held + VALUES(held)",
        )?;
        for (partition, last) in sequences {
            write!(sql, "; UPDATE partitions SET last_sequence = {last} WHERE partition_id = {partition}")?;
        }
        sql.push_str("; COMMIT");
        Ok(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buy_bid_holds_its_price_and_a_sell_bid_offers_a_gifticon() {
        let mut rows = Rows::default();
        rows.add(&Resting { product: 1, side: Side::Buy, user: 7, price: 500 }, 258, 514, 1).unwrap();
        rows.add(&Resting { product: 1, side: Side::Buy, user: 7, price: 300 }, 770, 1026, 2).unwrap();
        assert_eq!((rows.holds[&7], rows.gifticons.as_str()), (800, ""));
        rows.add(&Resting { product: 1, side: Side::Sell, user: 8, price: 900 }, 1282, 1538, 3).unwrap();
        assert_eq!(rows.holds.len(), 1);
        assert!(rows.gifticons.starts_with(",(1538,8,1,'bench/1538'"));
        let sql = rows.statements(&BTreeMap::from([(2, 6)])).unwrap();
        assert_eq!(sql.matches("INSERT INTO").count(), 5);
        assert!(sql.ends_with("UPDATE partitions SET last_sequence = 6 WHERE partition_id = 2; COMMIT"));
    }

    #[test]
    fn nothing_to_write_is_an_empty_transaction() {
        assert_eq!(Rows::default().statements(&BTreeMap::new()).unwrap(), "START TRANSACTION; COMMIT");
    }
}
