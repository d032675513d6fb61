//! Trades of the past, written in bulk.
//!
//! Promises: what it writes is what the workers would have written: each gifticon was offered by a bid and bought at once,
//! over the year before now, with both commands and the ledger entries. Doesn't: make daily prices; the scheduler does.

use crate::{
    Failure,
    market::{DAY_MS, Market, PRODUCTS, READERS, STANDERS, now},
};
use contracts::{ProductId, UnixMs, partition::id_from_sequence};
use futures_util::future::try_join_all;
use rand::{Rng, rngs::StdRng};
use std::{
    fmt::Write,
    ops::{Range, RangeInclusive},
    time::{Duration, Instant},
};

/// The trades lie so far back.
const BACK_MS: i64 = 365 * DAY_MS;
/// Trades written in one transaction, and transactions at once.
const CHUNK: usize = 2_000;
const WRITERS: usize = 2;
const PRICES: Range<i64> = 8_000..12_000;
/// The scheduler has rolled all trades up within this.
const ROLLED_UP_LIMIT: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Somebody bought at once what somebody had offered.
struct Trade {
    product: u64,
    seller: u64,
    buyer: u64,
    price: i64,
    at: UnixMs,
}

impl Market {
    /// Writes `count` trades, half of them by the users who will read their histories.
    pub(crate) async fn trade(&self, count: usize, luck: &mut StdRng) -> Result<(), Failure> {
        let (from, mut sequences) = (now().0 - BACK_MS, self.sequences().await?);
        let step = BACK_MS / i64::try_from(count.max(1))?;
        let mut chunk = Vec::new();
        for n in 0..count {
            let at = UnixMs(from + step * i64::try_from(n)?);
            let trade = Trade { at, ..Trade::random(luck) };
            let partition = self.partitions.of_product(ProductId(trade.product));
            let last = sequences.entry(partition.0).or_default();
            *last += 3;
            let id = |sequence| id_from_sequence(partition, sequence).ok_or("the partition has no id left");
            let ids = [id(*last - 2)?, id(*last - 1)?, id(*last)?];
            if n % CHUNK == 0 {
                if chunk.len() == WRITERS {
                    self.write_all(&mut chunk).await?;
                }
                chunk.push(Rows::default());
            }
            let rows = chunk.last_mut().ok_or("there is a chunk")?;
            rows.add(&trade, ids, [command_id(at, luck), command_id(at, luck)])?;
        }
        self.write_all(&mut chunk).await?;
        for (partition, last) in sequences {
            self.run(format!("UPDATE partitions SET last_sequence = {last} WHERE partition_id = {partition}")).await?;
        }
        // The trades' parts of the balances, as their entries say.
        self.run(
            "UPDATE balances b JOIN (SELECT user_id, SUM(amount) AS amount FROM ledger_entries \
             WHERE reason = 'trade' AND account = 'available' GROUP BY user_id) t ON t.user_id = b.user_id \
             SET b.available = b.available + t.amount"
                .to_owned(),
        )
        .await
    }

    async fn write_all(&self, chunks: &mut Vec<Rows>) -> Result<(), Failure> {
        let statements: Vec<String> = chunks.drain(..).map(|rows| rows.statements()).collect::<Result<_, _>>()?;
        try_join_all(statements.into_iter().map(|sql| self.run(sql))).await.map(drop)
    }

    /// Waits until a running scheduler has every trade in a daily price.
    pub(crate) async fn rolled_up(&self) -> Result<(), Failure> {
        let missing = "SELECT COUNT(*) FROM products p WHERE \
             (SELECT MAX(o.order_id) FROM orders o WHERE o.product_id = p.product_id) > \
             COALESCE((SELECT MAX(d.last_order_id) FROM daily_prices d WHERE d.product_id = p.product_id), 0)";
        let began = Instant::now();
        while sqlx::query_scalar::<_, i64>(missing).fetch_one(&self.pool).await? > 0 {
            if began.elapsed() > ROLLED_UP_LIMIT {
                return Err("the scheduler has not rolled the trades up into daily prices".into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

impl Trade {
    fn random(luck: &mut StdRng) -> Self {
        let seller = somebody(luck);
        let buyer = loop {
            let buyer = somebody(luck);
            if buyer != seller {
                break buyer;
            }
        };
        let (product, price) = (luck.random_range(PRODUCTS), luck.random_range(PRICES));
        Self { product, seller, buyer, price, at: UnixMs(0) }
    }
}

fn somebody(luck: &mut StdRng) -> u64 {
    let of: RangeInclusive<u64> = if luck.random() { READERS } else { STANDERS };
    luck.random_range(of)
}

/// In the order of time, as real ones are.
fn command_id(at: UnixMs, luck: &mut StdRng) -> u128 {
    (u128::from(at.0.unsigned_abs()) << 80) | (luck.random::<u128>() >> 48)
}

/// The rows of one chunk, as SQL.
#[derive(Default)]
struct Rows {
    commands: String,
    bids: String,
    gifticons: String,
    orders: String,
    entries: String,
}

impl Rows {
    fn add(&mut self, trade: &Trade, ids: [u64; 3], commands: [u128; 2]) -> std::fmt::Result {
        let Trade { product, seller, buyer, price, at: UnixMs(at) } = *trade;
        let ([bid, gifticon, order], [offer, purchase]) = (ids, commands);
        for (id, kind, user, data) in [
            (offer, "place_sell_bid", seller, format!("{{\"price\":{price},\"sellId\":{bid}}}")),
            (purchase, "buy_now", buyer, format!("{{\"price\":{price},\"orderId\":{order}}}")),
        ] {
            write!(self.commands, ",(0x{id:032x},'{kind}',{user},0x{id:064x},'done',0,'{data}',1,{at},{at})")?;
        }
        let ends = at + DAY_MS;
        write!(
            self.bids,
            ",({bid},'sell',{product},{seller},{price},0,NULL,{gifticon},'traded',{at},{ends},{at},0x{offer:032x})"
        )?;
        write!(
            self.gifticons,
            ",({gifticon},{seller},{product},'bench/{gifticon}',0x{offer:064x},{bid},0x{offer:032x},{at})"
        )?;
        write!(
            self.orders,
            ",({order},{product},{buyer},{seller},NULL,{bid},{gifticon},NULL,{price},{price},0,0x{purchase:032x},{at})"
        )?;
        write!(
            self.entries,
            ",(0x{purchase:032x},0,'trade','available',{buyer},-{price},'order:{order}',{at}),\
             (0x{purchase:032x},0,'trade','available',{seller},{price},'order:{order}',{at})"
        )
    }

    fn statements(&self) -> Result<String, std::fmt::Error> {
        let mut sql = "START TRANSACTION".to_owned();
        for (head, rows) in [
            (
                "commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, \
                 updated_at_ms)",
                &self.commands,
            ),
            (
                "bids (bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, placed_at_ms, \
                 deadline_ms, closed_at_ms, command_id)",
                &self.bids,
            ),
            (
                "gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, bid_id, command_id, \
                 created_at_ms)",
                &self.gifticons,
            ),
            (
                "orders (order_id, product_id, buyer_id, seller_id, buy_bid_id, sell_bid_id, gifticon_id, coupon_id, \
                 price, final_price, fee, command_id, traded_at_ms)",
                &self.orders,
            ),
            (
                "ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)",
                &self.entries,
            ),
        ] {
            if let Some(rows) = rows.strip_prefix(',') {
                write!(sql, "; INSERT INTO {head} VALUES {rows}")?;
            }
        }
        sql.push_str("; COMMIT");
        Ok(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_trade_is_an_offer_and_a_purchase_whose_entries_sum_to_zero() {
        let mut rows = Rows::default();
        let trade = Trade { product: 1, seller: 7, buyer: 8, price: 500, at: UnixMs(1_000) };
        rows.add(&trade, [1, 2, 3], [10, 11]).unwrap();
        assert!(rows.orders.starts_with(",(3,1,8,7,NULL,1,2,NULL,500,500,0,"));
        assert!(rows.entries.contains("'available',8,-500,") && rows.entries.contains("'available',7,500,"));
        let sql = rows.statements().unwrap();
        assert_eq!(sql.matches("INSERT INTO").count(), 5);
        assert_eq!(Rows::default().statements().unwrap(), "START TRANSACTION; COMMIT");
    }

    #[test]
    fn nobody_trades_with_themself_and_ids_follow_time() {
        let mut luck = StdRng::seed_from_u64(1);
        assert!((0..1_000).all(|_| {
            let trade = Trade::random(&mut luck);
            trade.buyer != trade.seller
        }));
        assert!(command_id(UnixMs(1), &mut luck) < command_id(UnixMs(2), &mut luck));
    }
}
