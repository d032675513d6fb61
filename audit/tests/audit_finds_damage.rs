//! The audit holds on a sound market, and names exactly the broken rules when one kind of damage is planted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure here is a failed test")]

mod market;

use contracts::{CommandState, Kind, Won};
use market::{Market, broken, captured, line};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};
use toss::sandbox::journal::Effect;

/// One way to break a market, and the rules that are broken then: all of them, and no other.
struct Damage {
    what: &'static str,
    sql: &'static str,
    breaks: &'static [&'static str],
}

const DAMAGES: &[Damage] = &[
    Damage {
        what: "an entry without its counter-entry",
        sql: "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)
              VALUES (c:01, 1, 'hold', 'available', 1, -100, 'bid:258', 2)",
        breaks: &["transfers_sum_to_zero", "balances_equal_their_entries"],
    },
    Damage {
        what: "a transfer that says two reasons",
        sql: "UPDATE ledger_entries SET reason = 'release' WHERE command_id = c:16 AND account = 'toss_clearing'",
        breaks: &["transfers_sum_to_zero", "bids_hold_what_they_moved"],
    },
    Damage {
        what: "a market's account booked on a user",
        sql: "UPDATE ledger_entries SET user_id = 3 WHERE command_id = c:11 AND account = 'fee'",
        breaks: &["entries_are_on_known_accounts"],
    },
    Damage {
        what: "points moved by a command that does not exist",
        sql: "DELETE FROM commands WHERE command_id = c:07",
        breaks: &["movements_name_their_command"],
    },
    Damage {
        what: "points moved by a rejected command",
        sql: "UPDATE commands SET state = 'rejected', result_code = 8004 WHERE command_id = c:16",
        breaks: &["movements_name_their_command"],
    },
    Damage {
        what: "points moved by a command that is still executing",
        sql: "UPDATE commands SET state = 'executing' WHERE command_id = c:20",
        breaks: &["movements_name_their_command"],
    },
    Damage {
        what: "a second sign-up gift",
        sql: "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)
              VALUES (c:31, 1, 'gift', 'available', 1, 100, 'user:1', 2), (c:31, 1, 'gift', 'gift', 0, -100, 'user:1', 2);
              UPDATE balances SET available = available + 100 WHERE user_id = 1",
        breaks: &["gifts_are_given_once"],
    },
    Damage {
        what: "a bare balance change",
        sql: "UPDATE balances SET available = available + 1 WHERE user_id = 2",
        breaks: &["balances_equal_their_entries"],
    },
    Damage {
        what: "a negative balance, by the book",
        sql: "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)
              VALUES (c:19, 0, 'refund_paid', 'available', 4, -5, 'x', 2), (c:19, 0, 'refund_paid', 'fee', 0, 5, 'x', 2);
              UPDATE balances SET available = -5 WHERE user_id = 4",
        breaks: &["balances_are_not_negative"],
    },
    Damage {
        what: "a user without a balance",
        sql: "DELETE FROM balances WHERE user_id = 4",
        breaks: &["balances_are_not_negative"],
    },
    Damage {
        what: "somebody who has left and keeps a balance",
        sql: "UPDATE users SET withdrawn_at_ms = 5 WHERE user_id = 4",
        breaks: &["balances_are_not_negative"],
    },
    Damage {
        what: "held points that no bid holds",
        sql: "UPDATE balances SET available = available - 10, held = held + 10 WHERE user_id = 2",
        breaks: &["balances_equal_their_entries", "held_points_are_explained"],
    },
    Damage {
        what: "a bid that holds less than it took",
        sql: "UPDATE bids SET hold = 3400 WHERE bid_id = 1282",
        breaks: &["held_points_are_explained", "bids_hold_what_they_moved"],
    },
    Damage {
        what: "a cancelled bid whose points never came back",
        sql: "DELETE FROM ledger_entries WHERE command_id = c:07;
              UPDATE balances SET available = available - 3000, held = held + 3000 WHERE user_id = 3",
        breaks: &["held_points_are_explained", "bids_hold_what_they_moved"],
    },
    Damage {
        what: "an open bid whose points were given back",
        sql: "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)
              VALUES (c:14, 1, 'release', 'held', 1, -3500, 'bid:1282', 2), (c:14, 1, 'release', 'available', 1, 3500, 'bid:1282', 2);
              UPDATE balances SET available = available + 3500, held = held - 3500 WHERE user_id = 1",
        breaks: &["held_points_are_explained", "bids_hold_what_they_moved"],
    },
    Damage {
        what: "a hold for a bid that does not exist",
        sql: "DELETE FROM bids WHERE bid_id = 271",
        breaks: &["bids_hold_what_they_moved", "market_commands_left_their_trace"],
    },
    Damage {
        what: "an open bid with a closing time",
        sql: "UPDATE bids SET closed_at_ms = 5 WHERE bid_id = 1807",
        breaks: &["bids_are_what_their_state_says"],
    },
    Damage {
        what: "a sell bid without its gifticon",
        sql: "DELETE FROM gifticons WHERE gifticon_id = 2063",
        breaks: &["bids_are_what_their_state_says"],
    },
    Damage {
        what: "one gifticon offered by two bids",
        sql: "UPDATE gifticons SET owner_id = 3 WHERE gifticon_id = 783; UPDATE bids SET user_id = 3 WHERE bid_id = 527;
              UPDATE commands SET user_id = 3 WHERE command_id = c:08; UPDATE bids SET gifticon_id = 783 WHERE bid_id = 1807",
        breaks: &["bids_are_what_their_state_says"],
    },
    Damage {
        what: "a voucher on offer that nobody claimed",
        sql: "UPDATE gifticons SET barcode_hash = REPEAT('3', 32), bid_id = 1807 WHERE gifticon_id = 2063",
        breaks: &["vouchers_are_offered_once"],
    },
    Damage {
        what: "a voucher that is on offer and was sold before, at once",
        sql: "UPDATE gifticons SET barcode_hash = REPEAT('3', 32), bid_id = 1807 WHERE gifticon_id = 2063;
              UPDATE gifticons SET barcode_hash = REPEAT('3', 32) WHERE gifticon_id = 1295;
              INSERT INTO barcode_claims (barcode_hash, gifticon_id) VALUES (REPEAT('3', 32), 2063)",
        breaks: &["vouchers_are_offered_once"],
    },
    Damage {
        what: "a claim to a voucher with another barcode",
        sql: "INSERT INTO barcode_claims (barcode_hash, gifticon_id) VALUES (REPEAT('3', 32), 2063)",
        breaks: &["vouchers_are_offered_once"],
    },
    Damage {
        what: "a bid that outlives its voucher",
        sql: "UPDATE gifticons SET bid_id = 1807, expires_at_ms = 4102444799999 WHERE gifticon_id = 2063",
        breaks: &["vouchers_are_offered_until_their_end"],
    },
    Damage {
        what: "a traded bid without an order",
        sql: "UPDATE bids SET state = 'traded', closed_at_ms = 5 WHERE bid_id = 1807",
        breaks: &["traded_bids_have_one_order"],
    },
    Damage {
        what: "an order of a bid that is open",
        sql: "UPDATE bids SET state = 'open', closed_at_ms = NULL WHERE bid_id = 514",
        breaks: &["traded_bids_have_one_order", "orders_name_their_bids"],
    },
    Damage {
        what: "one bid in two orders",
        sql: "INSERT INTO gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, command_id, created_at_ms)
                     SELECT 2306, owner_id, product_id, 'z', picture_sha256, c:35, 2 FROM gifticons WHERE gifticon_id = 1295;
              INSERT INTO commands SELECT c:35, kind, user_id, fingerprint, state, 0, '{}', 1, 1, 2 FROM commands WHERE command_id = c:11;
              INSERT INTO orders SELECT 2306, product_id, buyer_id, seller_id, buy_bid_id, NULL, 2306, NULL, price, final_price,
                     fee, c:35, 2 FROM orders WHERE order_id = 1551",
        breaks: &["traded_bids_have_one_order", "orders_moved_their_money"],
    },
    Damage {
        what: "a bid in another product's partition",
        sql: "UPDATE bids SET bid_id = 1808 WHERE bid_id = 1807",
        breaks: &["bids_are_in_their_partition"],
    },
    Damage {
        what: "a sequence that was set back",
        sql: "UPDATE partitions SET last_sequence = 3 WHERE partition_id = 15",
        breaks: &["bids_are_in_their_partition"],
    },
    Damage {
        what: "a reserved coupon that may be used again",
        sql: "UPDATE coupons SET state = 'available' WHERE coupon_id = 1",
        breaks: &["coupons_are_where_their_state_says", "coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a coupon reserved for no bid",
        sql: "UPDATE coupons SET state = 'reserved' WHERE coupon_id = 3",
        breaks: &["coupons_are_where_their_state_says", "coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a used coupon that may be used again",
        sql: "UPDATE coupons SET state = 'available' WHERE coupon_id = 2",
        breaks: &["coupons_are_where_their_state_says", "coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a coupon used for an order that did not use it",
        sql: "UPDATE coupons SET state = 'used' WHERE coupon_id = 3",
        breaks: &["coupons_are_where_their_state_says", "coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a bid with another's coupon",
        sql: "UPDATE coupons SET user_id = 3, state = 'available' WHERE coupon_id = 1",
        breaks: &["coupons_are_where_their_state_says", "coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a coupon that nobody granted",
        sql: "DELETE FROM coupon_entries WHERE coupon_id = 3",
        breaks: &["coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a coupon that was returned without having been reserved",
        sql: "INSERT INTO coupon_entries (entry_id, coupon_id, step, reference, command_id, created_at_ms) VALUES
                  (6, 3, 'returned', 'bid:271', c:07, 2);
              UPDATE bids SET coupon_id = 3, user_id = 3 WHERE bid_id = 271; UPDATE coupons SET user_id = 3 WHERE coupon_id = 3",
        breaks: &["coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a coupon granted twice",
        sql: "INSERT INTO coupon_entries (entry_id, coupon_id, step, reference, command_id, created_at_ms) VALUES
                  (6, 3, 'granted', 'user:4', NULL, 2)",
        breaks: &["coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "a coupon reserved for a bid that has none",
        sql: "UPDATE coupon_entries SET reference = 'bid:1807' WHERE entry_id = 4",
        breaks: &["coupons_are_where_their_ledger_ends"],
    },
    Damage {
        what: "an order whose buyer does not exist",
        sql: "UPDATE orders SET buyer_id = 77 WHERE order_id = 2050",
        breaks: &[
            "orders_have_a_buyer_and_a_seller",
            "orders_moved_their_money",
            "coupons_are_where_their_state_says",
        ],
    },
    Damage {
        what: "a trade with oneself",
        sql: "UPDATE orders SET seller_id = buyer_id WHERE order_id = 1551",
        breaks: &["orders_have_a_buyer_and_a_seller", "orders_have_one_gifticon", "orders_moved_their_money"],
    },
    Damage {
        what: "an order without its gifticon",
        sql: "DELETE FROM gifticons WHERE gifticon_id = 1295",
        breaks: &["orders_have_one_gifticon"],
    },
    Damage {
        what: "one gifticon sold twice",
        sql: "UPDATE orders SET gifticon_id = 1794 WHERE order_id = 1551; UPDATE gifticons SET product_id = 2 WHERE gifticon_id = 1794",
        breaks: &["orders_have_one_gifticon", "bids_are_what_their_state_says"],
    },
    Damage {
        what: "an order at a price that its buyer never offered",
        sql: "UPDATE orders SET price = 5100, final_price = 5100 WHERE order_id = 1026",
        breaks: &["orders_name_their_bids", "orders_moved_their_money"],
    },
    Damage {
        what: "an order with a bid of another product",
        sql: "UPDATE orders SET product_id = 2 WHERE order_id = 2050",
        breaks: &["orders_name_their_bids", "orders_have_one_gifticon"],
    },
    Damage {
        what: "an order that forgot its sell bid",
        sql: "UPDATE orders SET sell_bid_id = NULL WHERE order_id = 1026",
        breaks: &["orders_name_their_bids", "traded_bids_have_one_order", "orders_have_one_gifticon"],
    },
    Damage {
        what: "a fee that was not taken",
        sql: "UPDATE orders SET fee = 0 WHERE order_id = 1551",
        breaks: &["orders_moved_their_money"],
    },
    Damage {
        what: "a seller who was not paid",
        sql: "UPDATE ledger_entries SET user_id = 1 WHERE command_id = c:11 AND account = 'available';
              UPDATE balances SET available = available + 2475 WHERE user_id = 1;
              UPDATE balances SET available = available - 2475 WHERE user_id = 2",
        breaks: &["orders_moved_their_money"],
    },
    Damage {
        what: "money of an order that vanished",
        sql: "DELETE FROM orders WHERE order_id = 2050",
        breaks: &[
            "traded_bids_have_one_order",
            "coupons_are_where_their_state_says",
            "coupons_are_where_their_ledger_ends",
            "trades_have_their_order",
            "market_commands_left_their_trace",
        ],
    },
    Damage {
        what: "a leg of no refund",
        sql: "INSERT INTO refund_legs (refund_id, leg_no, route, amount, state, attempt, command_id, updated_at_ms)
              VALUES (99, 1, 'payout', 5, 'planned', 0, c:43, 2)",
        breaks: &["legs_have_their_refund"],
    },
    Damage {
        what: "one command with two bids",
        sql: "INSERT INTO bids (bid_id, side, product_id, user_id, price, hold, state, placed_at_ms, deadline_ms, command_id)
              VALUES (2306, 'buy', 1, 3, 1, 0, 'open', 1, 4102444800000, c:10)",
        breaks: &["market_commands_left_their_trace"],
    },
    Damage {
        what: "a command that is done without a bid",
        sql: "INSERT INTO commands SELECT c:36, kind, user_id, fingerprint, state, 0, data, 1, 1, 2 FROM commands WHERE command_id = c:10",
        breaks: &["market_commands_left_their_trace"],
    },
    Damage {
        what: "a rejected command that left a bid",
        sql: "UPDATE commands SET state = 'rejected' WHERE command_id = c:12",
        breaks: &["market_commands_left_their_trace"],
    },
    Damage {
        what: "a charge credited twice",
        sql: "INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)
              VALUES (c:16, 1, 'charge', 'available', 1, 10000, 'order-1', 2),
                     (c:16, 1, 'charge', 'toss_clearing', 0, -10000, 'order-1', 2);
              UPDATE balances SET available = available + 10000 WHERE user_id = 1",
        breaks: &["charges_are_credited_once"],
    },
    Damage {
        what: "a payment that is done but was neither taken nor credited",
        sql: "UPDATE payments SET state = 'done' WHERE order_id = 'order-3'",
        breaks: &["charges_are_credited_once", "sandbox_money_is_credited_money"],
    },
    Damage {
        what: "money taken and credited, but the payment says failed",
        sql: "UPDATE payments SET state = 'failed' WHERE order_id = 'order-1'",
        breaks: &[
            "charges_are_credited_once",
            "charges_are_cancelled_by_refunds",
            "sandbox_money_is_credited_money",
        ],
    },
    Damage {
        what: "points credited for no payment",
        sql: "UPDATE payments SET command_id = c:37 WHERE order_id = 'order-1'",
        breaks: &["charges_are_credited_once"],
    },
    Damage {
        what: "a reversal that was noted on its charge and not booked",
        sql: "UPDATE payments SET reversed_amount = 500 WHERE order_id = 'order-1'",
        breaks: &["charges_are_credited_once", "sandbox_money_is_credited_money"],
    },
    Damage {
        what: "a debt that nobody caused",
        sql: "INSERT INTO receivables (user_id, amount, updated_at_ms) VALUES (2, 500, 2)",
        breaks: &["debts_equal_their_entries"],
    },
    Damage {
        what: "a leg that says paid but never left the ledger",
        sql: "UPDATE refund_legs SET state = 'paid' WHERE leg_no = 1",
        breaks: &["held_points_are_explained", "refunds_are_held_and_paid"],
    },
    Damage {
        what: "legs that do not sum to their refund",
        sql: "UPDATE refund_legs SET amount = 900 WHERE leg_no = 1",
        breaks: &["refunds_are_held_and_paid"],
    },
    Damage {
        what: "a refund that says more than it held",
        sql: "UPDATE refunds SET amount = 600 WHERE refund_id = 2",
        breaks: &["held_points_are_explained", "refunds_are_held_and_paid"],
    },
    Damage {
        what: "a refund that is paid before its legs are",
        sql: "UPDATE refunds SET state = 'paid' WHERE refund_id = 1",
        breaks: &["held_points_are_explained", "refunds_are_held_and_paid"],
    },
    Damage {
        what: "a rejected refund whose points were returned by nobody's decision",
        sql: "UPDATE refunds SET decision_id = NULL WHERE refund_id = 3",
        breaks: &["refunds_are_held_and_paid"],
    },
    Damage {
        what: "a refund that says paid although a part of it was returned",
        sql: "UPDATE refunds SET state = 'paid' WHERE refund_id = 4",
        breaks: &["refunds_are_held_and_paid"],
    },
    Damage {
        what: "a leg that says paid although its points were returned",
        sql: "UPDATE refund_legs SET state = 'paid' WHERE refund_id = 4 AND leg_no = 3",
        breaks: &["refunds_are_held_and_paid"],
    },
    Damage {
        what: "a leg whose points were returned while its refund is still being paid",
        sql: "UPDATE refund_legs SET state = 'returned' WHERE refund_id = 1 AND leg_no = 1",
        breaks: &["held_points_are_explained", "refunds_are_held_and_paid"],
    },
    Damage {
        what: "a refund that vanished",
        sql: "DELETE FROM refunds WHERE refund_id = 2",
        breaks: &["held_points_are_explained", "refunds_are_held_and_paid"],
    },
    Damage {
        what: "a cancel that was not noted on its charge",
        sql: "UPDATE payments SET cancelled_amount = 2000 WHERE order_id = 'order-1'",
        breaks: &["charges_are_cancelled_by_refunds", "sandbox_money_is_credited_money"],
    },
    Damage {
        what: "a leg that cancels another's charge",
        sql: "UPDATE payments SET user_id = 3 WHERE order_id = 'order-1'",
        breaks: &["charges_are_cancelled_by_refunds", "charges_are_credited_once"],
    },
    Damage {
        what: "an outcome other than the client was told",
        sql: "UPDATE commands SET result_code = 2001 WHERE command_id = c:15",
        breaks: &["journaled_commands_have_one_outcome"],
    },
    Damage {
        what: "data other than the client was told",
        sql: "UPDATE commands SET data = '{\"buyId\":514,\"price\":5000}' WHERE command_id = c:01",
        breaks: &["journaled_commands_have_one_outcome"],
    },
    Damage {
        what: "an outcome that was told and is gone",
        sql: "DELETE FROM commands WHERE command_id = c:15",
        breaks: &["journaled_commands_have_one_outcome"],
    },
];

#[tokio::test]
async fn each_damage_is_named_and_nothing_else() {
    let market = Market::sound("audit_damage").await;
    let sound = market.audit().await;
    assert!(sound.holds_at_rest(), "{sound}");
    let mut never_broken: BTreeSet<&str> = sound.checks.iter().map(|check| check.name).collect();
    let (sliceable, found) = market.slices().await;
    assert!(found.is_empty() && sliceable.len() > 10 && sliceable.is_subset(&never_broken), "{sliceable:?}");

    for damage in DAMAGES {
        market.run(damage.sql).await;
        let report = market.audit().await;
        let expected: BTreeSet<&str> = damage.breaks.iter().copied().collect();
        assert_eq!(broken(&report), expected, "{}: {report}", damage.what);
        never_broken.retain(|name| !expected.contains(name));
        let (_, found) = market.slices().await;
        assert_eq!(found, &expected & &sliceable, "{}, in slices", damage.what);
        market.restore().await;
    }
    assert!(never_broken.is_empty(), "no damage was planted for {never_broken:?}");
    assert!(market.audit().await.holds_at_rest());
    market.drop().await;
}

#[tokio::test]
async fn money_that_only_the_sandbox_knows_is_found() {
    let mut market = Market::sound("audit_sandbox").await;
    let mut effects = captured();
    effects.push(Effect::Confirmed { payment_key: "key-9".into(), order_id: "order-9".into(), amount: Won(900) });
    market.other_sandbox(&effects).await;
    let report = market.audit().await;
    assert_eq!(broken(&report), BTreeSet::from(["sandbox_money_is_credited_money"]), "{report}");
    assert_eq!(report.figures.captured_less_cancelled_won, Some(7_900));
    market.drop().await;
}

#[tokio::test]
async fn what_is_under_way_is_counted_and_breaks_nothing() {
    let market = Market::sound("audit_pending").await;
    market.journal(&[line(40, Kind::PlaceBuyBid, 1, CommandState::Accepted, 0, Value::Null)]);
    market
        .run(
            "UPDATE payments SET state = 'confirming', command_id = c:41 WHERE order_id = 'order-2';
             INSERT INTO commands SELECT c:41, kind, 2, fingerprint, 'executing', 0, '{}', 1, 1, 2 FROM commands WHERE command_id = c:16;
             INSERT INTO outbox (exchange_name, routing_key, payload, created_at_ms) VALUES ('gream.events', 'x', '{}', 1);
             UPDATE bids SET deadline_ms = 5 WHERE bid_id = 1807",
        )
        .await;
    let report = market.audit().await;
    assert!(report.holds() && !report.holds_at_rest(), "{report}");
    let pending = &report.pending;
    assert_eq!((pending.journaled_without_row, pending.commands_under_way, pending.payments_confirming), (1, 1, 1));
    assert_eq!((pending.outbox_rows, pending.stale_bids, pending.total()), (1, 1, 5));
    market.drop().await;
}

/// Longer than RabbitMQ takes to count a queue's messages anew.
const COUNTED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_is_on_no_queue_is_lost_and_what_is_on_one_is_not() {
    let mut market = Market::sound("audit_broker").await;
    let vhost = market.with_broker(&["bid.00", "dead.payment"]).await;
    assert!(market.audit().await.holds_at_rest());

    let suspended = "INSERT INTO commands SELECT c:41, kind, 2, fingerprint, 'suspended', 0, '{}', 9, 1, 2 FROM commands WHERE command_id = c:16";
    market.run(suspended).await;
    let lost = BTreeSet::from(["what_has_not_ended_is_on_a_queue"]);
    let report = market.audit().await;
    assert_eq!(broken(&report), lost, "{report}");
    vhost.publish("dead.payment").await;
    let report = market.audit_until(COUNTED_WITHIN, audit::AuditReport::holds_at_rest).await;
    assert_eq!((report.figures.dead_letters["dead.payment"], report.figures.suspended["payment"]), (1, 1));

    let accepted = |number| line(number, Kind::PlaceBuyBid, 1, CommandState::Accepted, 0, Value::Null);
    market.journal(&[accepted(42), accepted(43)]);
    assert_eq!(broken(&market.audit().await), lost);
    vhost.publish("bid.00").await;
    let report = market.audit_until(COUNTED_WITHIN, audit::AuditReport::holds).await;
    assert_eq!((report.pending.journaled_without_row, report.pending.queued_messages), (2, 1));
    vhost.drop().await;
    market.drop().await;
}
