//! Reading what a batch needs: round trips two and three.

use super::{
    Store,
    literal::{self, numbers},
    row::{self, BID_COLUMNS},
};
use contracts::{ProductId, Side, UserId, Won};
use domain::market::{Balance, Loaded, Needs, Progress, Window, WindowKey, WindowNeed};
use sqlx::{Row, mysql::MySqlRow};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

impl Store {
    /// Reads everything in `needs`. Bids are read without locks of their own: only the holder of their partition's
    /// guard row ever writes them.
    pub(in crate::bid) async fn load(
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
        for (key, need) in &needs.windows {
            plan.add(Part::Window(*key, *need), true, || window_sql(key, need));
        }
        if plan.parts.is_empty() {
            return Ok(());
        }
        let sets = self.ask(plan.sql).await?;
        for (part, rows) in plan.parts.into_iter().zip(sets) {
            part.fill(&rows, loaded)?;
        }
        Ok(())
    }

    async fn lock_accounts(&mut self, needs: &Needs, loaded: &mut Loaded) -> Result<(), sqlx::Error> {
        let coupons: BTreeSet<_> = needs.coupons.union(&loaded.coupons_of_bids()).copied().collect();
        let users: BTreeSet<_> = needs.users.union(&loaded.counterparties()).copied().collect();
        let mut plan = Plan::default();
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
        if plan.parts.is_empty() {
            return Ok(());
        }
        let sets = self.ask(plan.sql).await?;
        for (part, rows) in plan.parts.into_iter().zip(sets) {
            part.fill(&rows, loaded)?;
        }
        Ok(())
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
    Window(WindowKey, WindowNeed),
    Coupons,
    Balances,
}

impl Part {
    fn fill(self, rows: &[MySqlRow], loaded: &mut Loaded) -> Result<(), sqlx::Error> {
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
            Part::Window(key, need) => {
                let bids = rows.iter().map(row::bid).collect::<Result<_, _>>()?;
                loaded.windows.push(Window { key, need, bids });
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
    let mut wanted = String::new();
    for (user, product) in &needs.open_counts {
        let arm = if wanted.is_empty() { "SELECT" } else { " UNION ALL SELECT" };
        // Writing to a String cannot fail.
        let _ = write!(wanted, "{arm} {user} AS user_id, {product} AS product_id");
    }
    format!(
        "SELECT w.user_id, w.product_id, COUNT(*) FROM ({wanted}) w STRAIGHT_JOIN bids b FORCE INDEX (bids_user) \
         ON b.user_id = w.user_id AND b.state = 'open' AND b.product_id = w.product_id GROUP BY w.user_id, w.product_id"
    )
}

/// The best rows of one window, by the index `bids_book`: its cost depends on the rows asked for, not on the book.
fn window_sql(key: &WindowKey, need: &WindowNeed) -> String {
    let (product, side, rows) = (key.product(), key.side(), need.rows);
    let sort = |price: Won| if side == Side::Sell { price.0 } else { -price.0 };
    let range = match key {
        WindowKey::Crossing { .. } => format!("book_price <= {}", sort(need.limit_price)),
        WindowKey::Level { price, .. } => format!("book_price = {}", sort(*price)),
    };
    format!(
        "SELECT {BID_COLUMNS} FROM bids FORCE INDEX (bids_book) WHERE product_id = {product} AND side = '{}' AND state = 'open' AND {range} \
         ORDER BY book_price, bid_id LIMIT {rows}",
        side.as_str()
    )
}
