//! Orders: one buyer, one seller, one gifticon, and the money that moved between them.

use super::{
    report::Check,
    snapshot::{Snapshot, check},
    span::{Commands, Orders},
};

/// Every check of orders.
pub(super) async fn checks(snapshot: &mut Snapshot) -> Result<Vec<Check>, sqlx::Error> {
    let mut checks = checks_of_orders(snapshot, &Orders::ALL).await?;
    checks.push(orders_have_one_gifticon(snapshot).await?);
    checks.push(trades_have_their_order(snapshot, &Commands::all()).await?);
    checks.push(market_commands_left_their_trace(snapshot).await?);
    Ok(checks)
}

pub(super) async fn checks_of_orders(snapshot: &mut Snapshot, orders: &Orders) -> Result<Vec<Check>, sqlx::Error> {
    Ok(vec![
        orders_have_a_buyer_and_a_seller(snapshot, orders).await?,
        orders_name_their_bids(snapshot, orders).await?,
        orders_moved_their_money(snapshot, orders).await?,
    ])
}

async fn orders_have_a_buyer_and_a_seller(snapshot: &mut Snapshot, orders: &Orders) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "orders_have_a_buyer_and_a_seller",
        "Every order has one buyer and one seller, two different users that exist.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM orders WHERE order_id > ? AND order_id <= ?"# [orders.after, orders.upto],
        offenders: r#"
            SELECT CAST(CONCAT('order ', o.order_id, ': buyer ', o.buyer_id, ', seller ', o.seller_id) AS CHAR)
                   AS "offender!: String"
            FROM orders o LEFT JOIN users b ON b.user_id = o.buyer_id LEFT JOIN users s ON s.user_id = o.seller_id
            WHERE o.order_id > ? AND o.order_id <= ?
              AND (o.buyer_id = o.seller_id OR b.user_id IS NULL OR s.user_id IS NULL)"# [orders.after, orders.upto]
    ))
}

async fn orders_have_one_gifticon(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "orders_have_one_gifticon",
        "Every order has one gifticon, of its product and offered by its seller; no gifticon is sold twice.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM orders"#,
        offenders: r#"
            SELECT CAST(CONCAT('order ', o.order_id, ' of product ', o.product_id, ' by seller ', o.seller_id,
                               ': gifticon ', o.gifticon_id, ' is of product ', COALESCE(g.product_id, 'none'),
                               ' by ', COALESCE(g.owner_id, 'nobody')) AS CHAR) AS "offender!: String"
            FROM orders o LEFT JOIN gifticons g ON g.gifticon_id = o.gifticon_id
            WHERE g.gifticon_id IS NULL OR g.product_id <> o.product_id OR g.owner_id <> o.seller_id
            UNION ALL
            SELECT CAST(CONCAT('gifticon ', gifticon_id, ' was sold ', COUNT(*), ' times') AS CHAR)
            FROM orders GROUP BY gifticon_id HAVING COUNT(*) > 1
            UNION ALL
            SELECT CAST(CONCAT('gifticon ', o.gifticon_id, ' was sold by order ', o.order_id, ' past bid ', b.bid_id) AS CHAR)
            FROM orders o JOIN bids b ON b.gifticon_id = o.gifticon_id
            WHERE o.sell_bid_id IS NULL OR o.sell_bid_id <> b.bid_id"#
    ))
}

async fn orders_name_their_bids(snapshot: &mut Snapshot, orders: &Orders) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "orders_name_their_bids",
        "The bids of an order are traded, of its product, its buyer's and its seller's, and at prices that allow it; a side \
         without a bid traded at once by a command of that kind.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM orders WHERE order_id > ? AND order_id <= ?"# [orders.after, orders.upto],
        offenders: r#"
            SELECT CAST(CONCAT('order ', o.order_id, ': buy bid ', COALESCE(o.buy_bid_id, 'none'),
                               ', sell bid ', COALESCE(o.sell_bid_id, 'none'), ', command ', COALESCE(c.kind, 'unknown'))
                        AS CHAR) AS "offender!: String"
            FROM orders o
                 LEFT JOIN bids b ON b.bid_id = o.buy_bid_id
                 LEFT JOIN bids s ON s.bid_id = o.sell_bid_id
                 LEFT JOIN commands c ON c.command_id = o.command_id
            WHERE o.order_id > ? AND o.order_id <= ? AND (
                  (o.buy_bid_id IS NULL AND (o.sell_bid_id IS NULL OR COALESCE(c.kind, '') <> 'buy_now'))
               OR (o.sell_bid_id IS NULL AND COALESCE(c.kind, '') <> 'sell_now')
               OR (o.buy_bid_id IS NOT NULL AND o.sell_bid_id IS NOT NULL
                   AND COALESCE(c.kind, '') NOT IN ('place_buy_bid', 'place_sell_bid'))
               OR (o.buy_bid_id IS NOT NULL
                   AND (b.bid_id IS NULL OR b.side <> 'buy' OR b.state <> 'traded' OR b.user_id <> o.buyer_id
                        OR b.product_id <> o.product_id OR b.price < o.price
                        OR COALESCE(b.coupon_id, 0) <> COALESCE(o.coupon_id, 0)))
               OR (o.sell_bid_id IS NOT NULL
                   AND (s.bid_id IS NULL OR s.side <> 'sell' OR s.state <> 'traded' OR s.user_id <> o.seller_id
                        OR s.product_id <> o.product_id OR s.price > o.price
                        OR COALESCE(s.gifticon_id, 0) <> o.gifticon_id)))"# [orders.after, orders.upto]
    ))
}

/// The expected entries: held of the buyer −hold; available of the buyer hold − final price; available of the seller
/// price − fee; fee; coupon cost final price − price.
async fn orders_moved_their_money(snapshot: &mut Snapshot, orders: &Orders) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "orders_moved_their_money",
        "Each order's trade entries are exactly what it says: the buyer's hold and final price, the seller's price less the \
         fee, the fee, and the coupon's cost.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM orders WHERE order_id > ? AND order_id <= ?"# [orders.after, orders.upto],
        offenders: r#"
            SELECT CAST(CONCAT('order ', order_id, ': entries differ from its terms by buyer ', SUM(buyer), ', held ',
                               SUM(held), ', seller ', SUM(seller), ', fee ', SUM(fee), ', coupon ', SUM(coupon),
                               ', others ', SUM(others)) AS CHAR) AS "offender!: String"
            FROM (SELECT o.order_id, o.final_price - COALESCE(b.hold, 0) AS buyer, COALESCE(b.hold, 0) AS held,
                         o.fee - o.price AS seller, -o.fee AS fee, o.price - o.final_price AS coupon, 0 AS others
                  FROM orders o LEFT JOIN bids b ON b.bid_id = o.buy_bid_id
                  WHERE o.order_id > ? AND o.order_id <= ?
                  UNION ALL
                  SELECT o.order_id,
                         CASE WHEN e.account = 'available' AND e.user_id = o.buyer_id THEN e.amount ELSE 0 END,
                         CASE WHEN e.account = 'held' AND e.user_id = o.buyer_id THEN e.amount ELSE 0 END,
                         CASE WHEN e.account = 'available' AND e.user_id = o.seller_id THEN e.amount ELSE 0 END,
                         CASE WHEN e.account = 'fee' THEN e.amount ELSE 0 END,
                         CASE WHEN e.account = 'coupon_cost' THEN e.amount ELSE 0 END,
                         CASE WHEN e.account IN ('fee', 'coupon_cost')
                                OR (e.account = 'available' AND e.user_id IN (o.buyer_id, o.seller_id))
                                OR (e.account = 'held' AND e.user_id = o.buyer_id) THEN 0 ELSE 1 END
                  FROM ledger_entries e
                       JOIN orders o ON o.order_id = CAST(SUBSTRING(e.reference, 7) AS SIGNED)
                                    AND o.command_id = e.command_id
                  WHERE e.reason = 'trade' AND o.order_id > ? AND o.order_id <= ?) AS told
            GROUP BY order_id
            HAVING SUM(buyer) <> 0 OR SUM(held) <> 0 OR SUM(seller) <> 0 OR SUM(fee) <> 0 OR SUM(coupon) <> 0
                OR SUM(others) <> 0"# [orders.after, orders.upto, orders.after, orders.upto]
    ))
}

pub(super) async fn trades_have_their_order(
    snapshot: &mut Snapshot,
    commands: &Commands,
) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "trades_have_their_order",
        "No trade entry is without its order, made by the same command.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM ledger_entries
            WHERE reason = 'trade' AND command_id > ? AND command_id <= ?"# [commands.after, commands.upto],
        offenders: r#"
            SELECT CAST(CONCAT('entry ', e.entry_id, ' is a trade of ', e.reference, ' by command ',
                               LOWER(HEX(e.command_id)), ', which is no order') AS CHAR) AS "offender!: String"
            FROM ledger_entries e
                 LEFT JOIN orders o ON o.order_id = CAST(SUBSTRING(e.reference, 7) AS SIGNED)
                                   AND o.command_id = e.command_id
            WHERE e.reason = 'trade' AND o.order_id IS NULL
              AND e.command_id > ? AND e.command_id <= ?"# [commands.after, commands.upto]
    ))
}

async fn market_commands_left_their_trace(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "market_commands_left_their_trace",
        "A command to place a bid or to trade at once that is done left exactly one bid or one order; any other left none.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM commands
            WHERE kind IN ('place_buy_bid', 'place_sell_bid', 'buy_now', 'sell_now')"#,
        offenders: r#"
            SELECT CAST(CONCAT('command ', LOWER(HEX(told.command_id)), ' (', COALESCE(MIN(c.kind), 'unknown'), ', ',
                               COALESCE(MIN(c.state), 'no row'), ') left ', SUM(bids), ' bids and ', SUM(orders), ' orders')
                        AS CHAR) AS "offender!: String"
            FROM (SELECT command_id, 0 AS bids, 0 AS orders, 0 AS wrong FROM commands
                  WHERE kind IN ('place_buy_bid', 'place_sell_bid', 'buy_now', 'sell_now')
                  UNION ALL
                  SELECT b.command_id, 1, 0,
                         CASE WHEN COALESCE(c.kind, '') = CONCAT('place_', b.side, '_bid') AND c.user_id = b.user_id
                              THEN 0 ELSE 1 END
                  FROM bids b LEFT JOIN commands c ON c.command_id = b.command_id
                  UNION ALL
                  SELECT o.command_id, 0, 1, 0 FROM orders o) AS told
                 LEFT JOIN commands c ON c.command_id = told.command_id
            GROUP BY told.command_id
            HAVING SUM(wrong) > 0
                OR SUM(bids) <> CASE WHEN MIN(c.state) = 'done' AND MIN(c.kind) IN ('place_buy_bid', 'place_sell_bid')
                                     THEN 1 ELSE 0 END
                OR SUM(orders) > 1
                OR (SUM(orders) = 1) < (COALESCE(MIN(c.state), '') = 'done' AND COALESCE(MIN(c.kind), '') IN ('buy_now', 'sell_now'))
                OR (SUM(orders) = 1 AND COALESCE(MIN(c.state), '') <> 'done')"#
    ))
}
