//! Bids, the coupons behind them, and the partitions they are numbered from.

use super::{
    report::Check,
    snapshot::{Snapshot, check},
    span::Users,
};
use contracts::{BidId, PartitionCount, ProductId};

/// Every check of bids and coupons.
pub(super) async fn checks(snapshot: &mut Snapshot, partitions: PartitionCount) -> Result<Vec<Check>, sqlx::Error> {
    Ok(vec![
        bids_hold_what_they_moved(snapshot, &Users::ALL).await?,
        bids_are_what_their_state_says(snapshot).await?,
        traded_bids_have_one_order(snapshot).await?,
        bids_are_in_their_partition(snapshot, partitions).await?,
        coupons_are_where_their_state_says(snapshot).await?,
        coupons_are_where_their_ledger_ends(snapshot).await?,
    ])
}

/// The trade's part of a hold is checked with the order.
/// Grouped as one list, not joined with a grouped one: MariaDB then groups each bid's user's entries anew.
pub(super) async fn bids_hold_what_they_moved(snapshot: &mut Snapshot, users: &Users) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "bids_hold_what_they_moved",
        "Placing a bid held exactly its hold; cancelling or expiring it released exactly that, and nothing else did.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM bids WHERE user_id > ? AND user_id <= ?"# [users.after, users.upto],
        offenders: r#"
            SELECT CAST(CONCAT('bid ', bid_id, ' (', MAX(state), ', hold ', SUM(hold), '): held ', SUM(held), ', released ',
                               SUM(released)) AS CHAR) AS "offender!: String"
            FROM (SELECT bid_id, user_id, state, 1 AS bids, hold, 0 AS held,
                         CASE WHEN state IN ('cancelled', 'expired') THEN hold ELSE 0 END AS to_release, 0 AS released
                  FROM bids WHERE user_id > ? AND user_id <= ?
                  UNION ALL
                  SELECT CAST(SUBSTRING(reference, 5) AS SIGNED), user_id, '', 0, 0,
                         CASE WHEN reason = 'hold' THEN amount ELSE 0 END, 0,
                         CASE WHEN reason = 'release' THEN -amount ELSE 0 END
                  FROM ledger_entries WHERE account = 'held' AND reason IN ('hold', 'release') AND user_id > ? AND user_id <= ?) AS told
            GROUP BY bid_id, user_id
            HAVING SUM(bids) = 1 AND (SUM(held) <> SUM(hold) OR SUM(released) <> SUM(to_release))
            UNION ALL
            SELECT CAST(CONCAT('entry ', e.entry_id, ' (', e.reason, ') is about ', e.reference,
                               ', which is no bid of user ', e.user_id) AS CHAR)
            FROM ledger_entries e
                 LEFT JOIN bids b ON b.bid_id = CAST(SUBSTRING(e.reference, 5) AS SIGNED) AND b.user_id = e.user_id
            WHERE e.reason IN ('hold', 'release') AND b.bid_id IS NULL AND e.user_id > ? AND e.user_id <= ?"# [users.after, users.upto, users.after, users.upto, users.after, users.upto]
    ))
}

async fn bids_are_what_their_state_says(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "bids_are_what_their_state_says",
        "A bid is closed exactly when it has a closing time; a sell bid offers one gifticon of its own and product and holds \
         nothing; a buy bid offers none and holds no more than its price.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM bids"#,
        offenders: r#"
            SELECT CAST(CONCAT('bid ', b.bid_id, ' (', b.side, ', ', b.state, ')') AS CHAR) AS "offender!: String"
            FROM bids b LEFT JOIN gifticons g ON g.gifticon_id = b.gifticon_id
            WHERE (b.state = 'open') <> (b.closed_at_ms IS NULL)
               OR (b.side = 'buy' AND (b.gifticon_id IS NOT NULL OR b.hold > b.price))
               OR (b.side = 'sell' AND (g.gifticon_id IS NULL OR g.owner_id <> b.user_id OR g.product_id <> b.product_id
                                        OR b.hold <> 0 OR b.coupon_id IS NOT NULL))
            UNION ALL
            SELECT CAST(CONCAT('gifticon ', gifticon_id, ' is offered by ', COUNT(*), ' bids') AS CHAR)
            FROM bids WHERE gifticon_id IS NOT NULL GROUP BY gifticon_id HAVING COUNT(*) > 1"#
    ))
}

async fn traded_bids_have_one_order(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "traded_bids_have_one_order",
        "A bid is traded exactly when one order names it; an open, cancelled or expired bid is in no order.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM bids WHERE state = 'traded'"#,
        offenders: r#"
            SELECT CAST(CONCAT('bid ', b.bid_id, ' is ', b.state, ' and in ', COALESCE(o.orders, 0), ' orders') AS CHAR)
                   AS "offender!: String"
            FROM bids b LEFT JOIN
                 (SELECT bid_id, COUNT(*) AS orders
                  FROM (SELECT buy_bid_id AS bid_id FROM orders WHERE buy_bid_id IS NOT NULL
                        UNION ALL SELECT sell_bid_id FROM orders WHERE sell_bid_id IS NOT NULL) AS named
                  GROUP BY bid_id) AS o ON o.bid_id = b.bid_id
            WHERE COALESCE(o.orders, 0) <> CASE WHEN b.state = 'traded' THEN 1 ELSE 0 END"#
    ))
}

async fn coupons_are_where_their_state_says(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "coupons_are_where_their_state_says",
        "A coupon is reserved exactly when one open buy bid of its owner holds it, and used exactly when one order of \
         its owner used it.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM coupons"#,
        offenders: r#"
            SELECT CAST(CONCAT('coupon ', c.coupon_id, ' is ', c.state, ', held by ', COALESCE(b.bids, 0),
                               ' open bids and used by ', COALESCE(o.orders, 0), ' orders') AS CHAR) AS "offender!: String"
            FROM coupons c
                 LEFT JOIN (SELECT coupon_id, user_id, COUNT(*) AS bids FROM bids
                            WHERE state = 'open' AND side = 'buy' AND coupon_id IS NOT NULL GROUP BY coupon_id, user_id) AS b
                        ON b.coupon_id = c.coupon_id AND b.user_id = c.user_id
                 LEFT JOIN (SELECT coupon_id, buyer_id, COUNT(*) AS orders FROM orders
                            WHERE coupon_id IS NOT NULL GROUP BY coupon_id, buyer_id) AS o
                        ON o.coupon_id = c.coupon_id AND o.buyer_id = c.user_id
            WHERE COALESCE(b.bids, 0) <> CASE WHEN c.state = 'reserved' THEN 1 ELSE 0 END
               OR COALESCE(o.orders, 0) <> CASE WHEN c.state = 'used' THEN 1 ELSE 0 END
            UNION ALL
            SELECT CAST(CONCAT('bid ', b.bid_id, ' of user ', b.user_id, ' names coupon ', b.coupon_id,
                               ', which is not theirs') AS CHAR)
            FROM bids b LEFT JOIN coupons c ON c.coupon_id = b.coupon_id AND c.user_id = b.user_id
            WHERE b.coupon_id IS NOT NULL AND c.coupon_id IS NULL"#
    ))
}

async fn coupons_are_where_their_ledger_ends(snapshot: &mut Snapshot) -> Result<Check, sqlx::Error> {
    Ok(check!(
        snapshot,
        "coupons_are_where_their_ledger_ends",
        "The ledger of coupons begins each with its one grant, takes it step by step, each allowed after the one before, \
         to its state, and names the bid or order that each step was about.",
        examined: r#"SELECT COUNT(*) AS "n!: i64" FROM coupon_entries"#,
        offenders: r#"
            SELECT CAST(CONCAT('coupon ', c.coupon_id, ' is ', c.state, ', and its ledger ends with ',
                               COALESCE(e.step, 'nothing')) AS CHAR) AS "offender!: String"
            FROM coupons c
                 LEFT JOIN (SELECT coupon_id, MAX(entry_id) AS entry_id FROM coupon_entries GROUP BY coupon_id) AS l
                        ON l.coupon_id = c.coupon_id
                 LEFT JOIN coupon_entries e ON e.entry_id = l.entry_id
            WHERE c.state <> COALESCE(CASE e.step WHEN 'granted' THEN 'available' WHEN 'returned' THEN 'available'
                                                  ELSE e.step END, 'nowhere')
            UNION ALL
            SELECT CAST(CONCAT('entry ', entry_id, ' (', step, ') of coupon ', coupon_id, ' follows ',
                               COALESCE(before_it, 'nothing')) AS CHAR)
            FROM (SELECT entry_id, coupon_id, step,
                         LAG(step) OVER (PARTITION BY coupon_id ORDER BY entry_id) AS before_it
                  FROM coupon_entries) AS steps
            WHERE CONCAT(COALESCE(before_it, 'nothing'), ' ', step) NOT IN
                  ('nothing granted', 'granted reserved', 'granted used', 'reserved returned', 'reserved used',
                   'returned reserved', 'returned used')
            UNION ALL
            SELECT CAST(CONCAT('entry ', e.entry_id, ' (', e.step, ') of coupon ', e.coupon_id, ' is about ', e.reference,
                               ', which has another coupon, or none') AS CHAR)
            FROM coupon_entries e
                 LEFT JOIN bids b ON e.step IN ('reserved', 'returned') AND b.coupon_id = e.coupon_id
                                 AND b.bid_id = CAST(SUBSTRING(e.reference, 5) AS SIGNED)
                 LEFT JOIN orders o ON e.step = 'used' AND o.coupon_id = e.coupon_id
                                   AND o.order_id = CAST(SUBSTRING(e.reference, 7) AS SIGNED)
            WHERE e.step <> 'granted' AND b.bid_id IS NULL AND o.order_id IS NULL"#
    ))
}

/// The largest bid id of each product in each partition that its bids name.
struct Numbered {
    product: i64,
    low_bits: i64,
    largest: i64,
    last_sequence: Option<i64>,
}

async fn bids_are_in_their_partition(
    snapshot: &mut Snapshot,
    partitions: PartitionCount,
) -> Result<Check, sqlx::Error> {
    let mut check = Check::new(
        "bids_are_in_their_partition",
        "A bid's id names its product's partition, and was given out by that partition's sequence.",
    );
    let rows = sqlx::query_as!(
        Numbered,
        r#"SELECT b.product_id AS "product!: i64", CAST(b.bid_id & 255 AS SIGNED) AS "low_bits!: i64",
                  MAX(b.bid_id) AS "largest!: i64", MAX(p.last_sequence) AS "last_sequence: i64"
           FROM bids b LEFT JOIN partitions p ON p.partition_id = (b.bid_id & 255)
           GROUP BY b.product_id, CAST(b.bid_id & 255 AS SIGNED)"#
    )
    .fetch_all(snapshot.connection())
    .await?;
    check.examined = rows.len() as u64;
    for finding in rows.iter().filter_map(|row| misplaced(row, partitions)) {
        check.findings.add(finding);
    }
    Ok(check)
}

fn misplaced(row: &Numbered, partitions: PartitionCount) -> Option<String> {
    let id = BidId(u64::try_from(row.largest).unwrap_or(0));
    let expected = partitions.of_product(ProductId(u64::try_from(row.product).unwrap_or(0)));
    if partitions.of_bid(id) != Some(expected) {
        return Some(format!(
            "product {} belongs to partition {expected}, but bid {id} names {:02}",
            row.product, row.low_bits
        ));
    }
    let sequence = row.largest >> contracts::partition::PARTITION_BITS;
    (row.last_sequence.is_none_or(|last| sequence > last)).then(|| {
        format!("bid {id} is number {sequence} of partition {expected}, which gave out {:?}", row.last_sequence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_partition_or_beyond_the_sequence_is_misplaced() {
        let sixteen = PartitionCount::new(16).unwrap();
        // Product 1 belongs to partition 2 (pinned in contracts).
        let row = |low_bits: i64, sequence: i64, last_sequence| Numbered {
            product: 1,
            low_bits,
            largest: (sequence << 8) | low_bits,
            last_sequence,
        };
        assert_eq!(misplaced(&row(2, 9, Some(9)), sixteen), None);
        assert!(misplaced(&row(2, 10, Some(9)), sixteen).unwrap().contains("number 10"));
        assert!(misplaced(&row(2, 1, None), sixteen).is_some());
        assert!(misplaced(&row(3, 1, Some(9)), sixteen).unwrap().contains("names 03"));
        assert!(misplaced(&row(200, 1, Some(9)), sixteen).is_some());
    }
}
