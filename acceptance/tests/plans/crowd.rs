//! Rows as a market has them after a while: enough that optimisers must choose an index, and each user and product with
//! few of them. They make no sound market (nobody audits it); they have the right shape.

use sqlx::{AssertSqlSafe, MySqlPool, raw_sql};
use std::collections::BTreeMap;

/// Rows of each table that grows.
pub const ROWS: u64 = 20_000;

/// How many rows each table has.
pub type Tables = BTreeMap<String, u64>;

/// `n` runs from 0; ids are a million and more, so that they are nobody else's.
const TABLES: [(&str, &str); 31] = [
    (
        "users (user_id, login_id, nickname, role, provider, created_at_ms)",
        "1000000 + n, CONCAT('crowd', n), CONCAT('crowd', n), 'user', 'local', n",
    ),
    (
        "sessions (session_id, user_id, created_at_ms, expires_at_ms)",
        "UNHEX(LPAD(HEX(1000000 + n), 32, '0')), 1000000 + n, n, 1000000 * n",
    ),
    ("balances (user_id, available, held)", "1000000 + n, n, n"),
    ("kakao_accounts (kakao_id, user_id, created_at_ms)", "n + 1, 1000000 + n, n"),
    (
        "products (product_id, brand, name, description, price, image_url, created_at_ms)",
        "1000000 + n, CONCAT('brand', n % 100), CONCAT('product', n), '', 1000, CONCAT('picture', n), n",
    ),
    (
        "commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, updated_at_ms)",
        "UNHEX(LPAD(HEX(1000000 + n), 32, '0')), 'place_buy_bid', 1000000 + n, REPEAT('0', 32), IF(n % 10 = 0, 'rejected', 'done'), 0, \
         '{}', 1, n, n",
    ),
    (
        "bids (bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, placed_at_ms, deadline_ms, \
         closed_at_ms, command_id)",
        "1000000 + n, IF(n % 2 = 0, 'buy', 'sell'), 1000000 + n % 2000, 1000000 + n % 5000, 1000 + n % 50, 0, NULL, NULL, \
         ELT(1 + n % 3, 'open', 'traded', 'cancelled'), n, 4000000000000 + n, NULL, UNHEX(LPAD(HEX(1000000 + n), 32, '0'))",
    ),
    (
        "coupons (coupon_id, user_id, name, discount_type, discount, state, created_at_ms)",
        "1000000 + n, 1000000 + n % 5000, 'crowd', 'FIX', 100, ELT(1 + n % 3, 'available', 'reserved', 'used'), n",
    ),
    (
        "coupon_entries (coupon_id, step, reference, command_id, created_at_ms)",
        "1000000 + n, 'granted', 'user:1', NULL, n",
    ),
    ("likes (user_id, product_id, created_at_ms)", "1000000 + n % 5000, 1000000 + n, n"),
    (
        "daily_prices (product_id, seoul_day, first_price, high_price, low_price, last_price, trades, last_order_id)",
        "1000000 + n % 2000, n, 1000, 1000, 1000, 1000, 1, 1000000 + n",
    ),
    (
        "gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, command_id, created_at_ms)",
        "1000000 + n, 1000000 + n % 5000, 1000000 + n % 2000, 'crowd', REPEAT('0', 32), UNHEX(LPAD(HEX(1000000 + n), 32, '0')), n",
    ),
    ("barcode_claims (barcode_hash, gifticon_id)", "UNHEX(LPAD(HEX(1000000 + n), 64, '0')), 1000000 + n"),
    ("gifticon_reveals (gifticon_id, user_id, revealed_at_ms)", "1000000 + n, 1000000 + n % 5000, n"),
    (
        "orders (order_id, product_id, buyer_id, seller_id, buy_bid_id, sell_bid_id, gifticon_id, price, final_price, fee, \
         command_id, traded_at_ms)",
        "1000000 + n, 1000000 + n % 2000, 1000000 + n % 5000, 2000000 + n % 5000, 1000000 + 2 * n, 1000001 + 2 * n, \
         1000000 + n, 1000, 1000, 0, UNHEX(LPAD(HEX(1000000 + n), 32, '0')), n",
    ),
    (
        "ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)",
        "UNHEX(LPAD(HEX(1000000 + n), 32, '0')), 0, 'trade', 'available', 1000000 + n % 5000, 1, CONCAT('bid:', n), n",
    ),
    (
        "payments (order_id, user_id, amount, order_name, state, payment_key, attempt, cancelled_amount, created_at_ms, \
         updated_at_ms)",
        "1000000 + n, 1000000 + n % 5000, 1000, 'crowd', IF(n % 100 = 0, 'confirming', 'done'), CONCAT('crowd', n), 1, 0, n, n",
    ),
    (
        "refunds (refund_id, user_id, amount, bank, account_cipher, account_masked, state, command_id, created_at_ms, \
         updated_at_ms)",
        "1000000 + n, 1000000 + n % 5000, 1000, 'bank', '', '', IF(n % 100 = 0, 'requested', 'paid'), \
         UNHEX(LPAD(HEX(1000000 + n), 32, '0')), n, n",
    ),
    (
        "refund_legs (refund_id, leg_no, route, order_id, amount, state, attempt, command_id, updated_at_ms)",
        "1000000 + n, 1, 'cancel', 1000000 + n, 1000, IF(n % 100 = 0, 'executing', 'paid'), 1, \
         UNHEX(LPAD(HEX(1000000 + n), 32, '0')), n",
    ),
    ("receivables (user_id, amount, updated_at_ms)", "1000000 + n, IF(n % 100 = 0, 100, 0), n"),
    (
        "notifications (user_id, number, event_key, payload, created_at_ms)",
        "1000000 + n % 5000, 1 + n, CONCAT('crowd', n), '{}', n",
    ),
    ("notification_counters (user_id, last_number, read_number)", "1000000 + n, n, 0"),
    ("toss_webhooks (transmission_id, received_at_ms)", "CONCAT('crowd', n), n"),
    (
        "differences (order_id, kind, detail, found_at_ms, seen_at_ms, gone_at_ms)",
        "CONCAT('crowd', n), 'given_back', '', n, n, IF(n % 100 = 0, NULL, n)",
    ),
    ("compared_days (seoul_day, transactions, suspects, differences, compared_at_ms)", "n, 0, 0, 0, n"),
    ("account_reveals (refund_id, leg_no, administrator_id, revealed_at_ms)", "1000000 + n, 1, 1000000 + n % 5000, n"),
    (
        "command_history (command_id, what, happened_at_ms, seen_by, detail)",
        "UNHEX(LPAD(HEX(1000000 + n), 32, '0')), 'failed', n, 'crowd', ''",
    ),
    ("operator_actions (what, done_by, why, selection, begun_at_ms)", "'replay', 'crowd', '', '{}', n"),
    (
        "command_revisions (command_id, revision, fingerprint, fingerprint_before, payload, payload_before, action_id, \
         made_at_ms)",
        "UNHEX(LPAD(HEX(1000000 + n), 32, '0')), 1, REPEAT('0', 32), REPEAT('1', 32), '', '', n, n",
    ),
    (
        "discarded_letters (letter_key, command_id, role, payload, headers, action_id, discarded_at_ms, keep_until_ms)",
        "UNHEX(LPAD(HEX(1000000 + n), 16, '0')), UNHEX(LPAD(HEX(1000000 + n), 32, '0')), 'bid', '', '{}', n, n, n",
    ),
    (
        "outbox (outbox_id, exchange_name, routing_key, payload, created_at_ms)",
        "1000000 + n, 'gream.events', '', '{}', n",
    ),
];

/// Writes them, and has the server count what it needs to know for its plans.
pub async fn write(database: &MySqlPool) {
    let numbers: Vec<String> = (0..ROWS).map(|n| format!("({n})")).collect();
    run(database, "CREATE TABLE numbers (n BIGINT NOT NULL PRIMARY KEY)".to_owned()).await;
    run(database, format!("INSERT INTO numbers VALUES {}", numbers.join(","))).await;
    for (head, values) in TABLES {
        run(database, format!("INSERT INTO {head} SELECT {values} FROM numbers")).await;
    }
    run(database, "DROP TABLE numbers".to_owned()).await;
    for table in names(database).await {
        run(database, format!("ANALYZE TABLE {table}")).await;
    }
}

/// Every table of the market.
pub async fn tables(database: &MySqlPool) -> Tables {
    let mut tables = Tables::new();
    for name in names(database).await {
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {name}"));
        let rows: i64 = sqlx::query_scalar(count).fetch_one(database).await.expect("a count");
        tables.insert(name, rows.unsigned_abs());
    }
    tables
}

async fn names(database: &MySqlPool) -> Vec<String> {
    let sql = "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()";
    sqlx::query_scalar(sql).fetch_all(database).await.expect("the tables' names")
}

async fn run(database: &MySqlPool, sql: String) {
    let head: String = sql.chars().take(80).collect();
    raw_sql(AssertSqlSafe(sql)).execute(database).await.unwrap_or_else(|error| panic!("{error}: {head}…"));
}
