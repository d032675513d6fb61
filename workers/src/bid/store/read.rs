//! Reading what a batch needs: round trips two and three.

use super::{
    Store,
    literal::{self, Hex, numbers},
    row::{self, BID_COLUMNS},
};
use contracts::{GifticonId, ProductId, Side, UserId, Won};
use domain::market::{Balance, Claim, Loaded, Needs, Progress, Window, WindowKey, WindowNeed};
use sqlx::{Row, mysql::MySqlRow};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// From so many windows on, the best prices are asked for first, in one statement: it costs a tenth of a window's, and most
/// bids that are placed meet nobody. With fewer, another round trip costs more.
const PROBE_FROM: usize = 8;

/// The best price of each side of a product that has one, as the book sorts it.
type BestPrices = BTreeMap<(Side, ProductId), i64>;

impl Store {
    /// Reads everything in `needs`. Bids are read without locks of their own: only the holder of their partition's
    /// guard row ever writes them.
    pub(super) async fn read(
        &mut self,
        needs: &Needs,
        partitions: &BTreeMap<contracts::PartitionId, Progress>,
    ) -> Result<Loaded, sqlx::Error> {
        let mut loaded = Loaded { partitions: partitions.clone(), ..Loaded::default() };
        self.load_book(needs, &mut loaded).await?;
        self.lock_accounts(needs, &mut loaded).await?;
        Ok(loaded)
    }

    async fn load_book(&mut self, needs: &Needs, loaded: &mut Loaded) -> Result<(), sqlx::Error> {
        let mut plan = Plan::default();
        plan.add(Part::Products, !needs.products.is_empty(), || products_sql(needs));
        plan.add(Part::Bids, !needs.bids.is_empty(), || {
            format!("SELECT {BID_COLUMNS} FROM bids WHERE bid_id IN ({})", numbers(needs.bids.iter().map(|bid| bid.0)))
        });
        plan.add(Part::OpenCounts, !needs.open_counts.is_empty(), || open_counts_sql(needs));
        let is_probed =
            |key: &WindowKey| needs.windows.len() >= PROBE_FROM && matches!(key, WindowKey::Crossing { .. });
        let (probed, read): (Vec<_>, Vec<_>) = needs.windows.iter().partition(|(key, _)| is_probed(key));
        for side in [Side::Buy, Side::Sell] {
            let products: Vec<ProductId> =
                probed.iter().filter(|(key, _)| key.side() == side).map(|(key, _)| key.product()).collect();
            plan.add(Part::BestPrices(side), !products.is_empty(), || best_prices_sql(side, &products));
        }
        for (key, need) in read {
            plan.add(Part::Window(*key, *need), true, || window_sql(key, need));
        }
        let mut best_prices = BestPrices::new();
        self.fill(plan, loaded, &mut best_prices).await?;

        let mut plan = Plan::default();
        for (key, need) in probed {
            let best = best_prices.get(&(key.side(), key.product()));
            if best.is_some_and(|best| *best <= as_sorted(key.side(), need.limit_price)) {
                plan.add(Part::Window(*key, *need), true, || window_sql(key, need));
            } else {
                loaded.windows.push(Window { key: *key, need: *need, bids: Vec::new() });
            }
        }
        self.fill(plan, loaded, &mut best_prices).await
    }

    /// Asks everything in `plan`, and puts the answers where they belong.
    async fn fill(&mut self, plan: Plan, loaded: &mut Loaded, best: &mut BestPrices) -> Result<(), sqlx::Error> {
        if plan.parts.is_empty() {
            return Ok(());
        }
        let sets = self.ask(plan.sql).await?;
        for (part, rows) in plan.parts.into_iter().zip(sets) {
            part.fill(&rows, loaded, best)?;
        }
        Ok(())
    }

    async fn lock_accounts(&mut self, needs: &Needs, loaded: &mut Loaded) -> Result<(), sqlx::Error> {
        let coupons: BTreeSet<_> = needs.coupons.union(&loaded.coupons_of_bids()).copied().collect();
        let users: BTreeSet<_> = needs.users.union(&loaded.counterparties()).copied().collect();
        let mut plan = Plan::default();
        let barcodes = literal::list(&needs.barcodes, |text, barcode| write!(text, "{}", Hex(&barcode.0)));
        plan.add(Part::LockedClaims, !barcodes.is_empty(), || lock_claims_sql(&barcodes));
        plan.add(Part::Claims, !barcodes.is_empty(), || claims_sql(&barcodes));
        plan.add(Part::Coupons, !coupons.is_empty(), || {
            let ids = numbers(coupons.iter().map(|coupon| coupon.0));
            format!(
                "SELECT coupon_id, user_id, discount_type, discount, state FROM coupons WHERE coupon_id IN ({ids}) \
                 ORDER BY coupon_id FOR UPDATE"
            )
        });
        plan.add(Part::Balances, !users.is_empty(), || {
            let ids = numbers(users.iter().map(|user| user.0));
            format!(
                "SELECT user_id, available, held FROM balances WHERE user_id IN ({ids}) ORDER BY user_id FOR UPDATE"
            )
        });
        self.fill(plan, loaded, &mut BestPrices::new()).await
    }
}

/// Statements of one packet, and what each one's rows are.
#[derive(Default)]
struct Plan {
    sql: String,
    parts: Vec<Part>,
}

impl Plan {
    fn add(&mut self, part: Part, wanted: bool, sql: impl FnOnce() -> String) {
        if wanted {
            if !self.sql.is_empty() {
                self.sql.push_str("; ");
            }
            self.sql.push_str(&sql());
            self.parts.push(part);
        }
    }
}

enum Part {
    Products,
    Bids,
    OpenCounts,
    BestPrices(Side),
    Window(WindowKey, WindowNeed),
    LockedClaims,
    Claims,
    Coupons,
    Balances,
}

impl Part {
    fn fill(self, rows: &[MySqlRow], loaded: &mut Loaded, best: &mut BestPrices) -> Result<(), sqlx::Error> {
        match self {
            Part::Products => {
                for found in rows {
                    loaded.products.insert(ProductId(row::id(found, 0)?));
                }
            }
            Part::Bids => loaded.bids = rows.iter().map(row::bid).collect::<Result<_, _>>()?,
            Part::OpenCounts => {
                for found in rows {
                    let key = (UserId(row::id(found, 0)?), ProductId(row::id(found, 1)?));
                    let count = u32::try_from(found.try_get::<i64, _>(2)?).map_err(row::invalid)?;
                    loaded.open_counts.insert(key, count);
                }
            }
            Part::BestPrices(side) => {
                for found in rows {
                    if let Some(price) = found.try_get(1)? {
                        best.insert((side, ProductId(row::id(found, 0)?)), price);
                    }
                }
            }
            Part::Window(key, need) => {
                let bids = rows.iter().map(row::bid).collect::<Result<_, _>>()?;
                loaded.windows.push(Window { key, need, bids });
            }
            // What they say is read by the next statement, when nobody can change it any more.
            Part::LockedClaims => {
                for found in rows {
                    let (barcode, gifticon) = (row::barcode(found, 0)?, GifticonId(row::id(found, 1)?));
                    loaded.claims.insert(barcode, Claim { gifticon, bid: None, released: false });
                }
            }
            Part::Claims => {
                for found in rows {
                    let (barcode, claim) = row::claim(found)?;
                    // One that came in between is not locked: somebody else may be passing it on at this moment.
                    let released = claim.released && loaded.claims.contains_key(&barcode);
                    loaded.claims.insert(barcode, Claim { released, ..claim });
                }
            }
            Part::Coupons => loaded.coupons = rows.iter().map(row::coupon).collect::<Result<_, _>>()?,
            Part::Balances => {
                for found in rows {
                    let balance = Balance { available: Won(found.try_get(1)?), held: Won(found.try_get(2)?) };
                    loaded.balances.insert(UserId(row::id(found, 0)?), balance);
                }
            }
        }
        Ok(())
    }
}

fn products_sql(needs: &Needs) -> String {
    format!(
        "SELECT product_id FROM products WHERE product_id IN ({})",
        numbers(needs.products.iter().map(|product| product.0))
    )
}

/// By a join with the wanted pairs: the optimiser takes five times as long over a list of row values (docs/performance.md).
fn open_counts_sql(needs: &Needs) -> String {
    let wanted = literal::rows(&needs.open_counts, |text, (user, product)| {
        write!(text, "{user} AS user_id, {product} AS product_id")
    });
    format!(
        "SELECT w.user_id, w.product_id, COUNT(*) FROM ({wanted}) w STRAIGHT_JOIN bids b FORCE INDEX (bids_user) \
         ON b.user_id = w.user_id AND b.state = 'open' AND b.product_id = w.product_id GROUP BY w.user_id, w.product_id"
    )
}

/// In order, as each batch locks them. Those that have no row cannot be locked: of two batches that make the same claim
/// at once the later one finds the key taken when it writes, and begins again.
fn lock_claims_sql(barcodes: &str) -> String {
    format!(
        "SELECT barcode_hash, gifticon_id FROM barcode_claims WHERE barcode_hash IN ({barcodes}) \
         ORDER BY barcode_hash FOR UPDATE"
    )
}

/// A statement of its own, because the bids must not be locked: another partition's worker may be writing them. What is
/// open or traded counts; cancelled and expired are final, so whoever reads them here may rely on it.
fn claims_sql(barcodes: &str) -> String {
    format!(
        "SELECT c.barcode_hash, c.gifticon_id, g.bid_id, b.state FROM barcode_claims c \
         LEFT JOIN gifticons g ON g.gifticon_id = c.gifticon_id LEFT JOIN bids b ON b.bid_id = g.bid_id \
         WHERE c.barcode_hash IN ({barcodes})"
    )
}

/// The best price of each product on one side, by the index `bids_book`.
fn best_prices_sql(side: Side, products: &[ProductId]) -> String {
    let wanted = literal::rows(products, |text, product| write!(text, "{product} AS product_id"));
    format!(
        "SELECT w.product_id, (SELECT b.book_price FROM bids b FORCE INDEX (bids_book) \
         WHERE b.product_id = w.product_id AND b.side = '{}' AND b.state = 'open' ORDER BY b.book_price LIMIT 1) \
         FROM ({wanted}) w",
        side.as_str()
    )
}

/// A price as the book sorts it: ascending is better on both sides.
fn as_sorted(side: Side, price: Won) -> i64 {
    if side == Side::Sell { price.0 } else { -price.0 }
}

/// The best rows of one window, by the index `bids_book`: its cost depends on the rows asked for, not on the book.
fn window_sql(key: &WindowKey, need: &WindowNeed) -> String {
    let (product, side, rows) = (key.product(), key.side(), need.rows);
    let range = match key {
        WindowKey::Crossing { .. } => format!("book_price <= {}", as_sorted(side, need.limit_price)),
        WindowKey::Level { price, .. } => format!("book_price = {}", as_sorted(side, *price)),
    };
    format!(
        "SELECT {BID_COLUMNS} FROM bids FORCE INDEX (bids_book) WHERE product_id = {product} AND side = '{}' AND state = 'open' AND {range} \
         ORDER BY book_price, bid_id LIMIT {rows}",
        side.as_str()
    )
}
