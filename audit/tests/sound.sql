-- A small market in which every rule holds and nothing is under way. c:NN stands for the command id NN.
INSERT INTO users (user_id, login_id, nickname, password_hash, role, provider, created_at_ms) VALUES
    (1, 'anna', 'anna', NULL, 'user', 'local', 1), (2, 'berta', 'berta', NULL, 'user', 'local', 1),
    (3, 'chul', 'chul', NULL, 'user', 'local', 1), (4, 'admin', 'admin', NULL, 'administrator', 'local', 1);
INSERT INTO products (product_id, brand, name, description, price, image_url, created_at_ms) VALUES
    (1, 'cafe', 'americano', '', 5000, '', 1), (2, 'bakery', 'bread', '', 3000, '', 1);
INSERT INTO coupons (coupon_id, user_id, name, discount_type, discount, state, created_at_ms) VALUES
    (1, 1, 'five hundred', 'FIX', 500, 'reserved', 1), (2, 3, 'a tenth', 'RATE', 10, 'used', 1),
    (3, 2, 'unused', 'RATE', 20, 'available', 1);
INSERT INTO coupon_entries (entry_id, coupon_id, step, reference, command_id, created_at_ms) VALUES
    (1, 1, 'granted', 'user:4', NULL, 1), (2, 2, 'granted', 'user:4', NULL, 1), (3, 3, 'granted', 'user:4', NULL, 1),
    (4, 1, 'reserved', 'bid:1282', c:03, 2), (5, 2, 'used', 'order:2050', c:05, 2);

INSERT INTO commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, updated_at_ms) VALUES
    (c:01, 'place_buy_bid', 1, REPEAT('f', 32), 'done', 0, '{"price":5000,"buyId":258}', 1, 1, 2),
    (c:02, 'place_sell_bid', 2, REPEAT('f', 32), 'done', 0, '{"price":4500,"sellId":514}', 1, 1, 2),
    (c:03, 'place_buy_bid', 1, REPEAT('f', 32), 'done', 0, '{"price":4000,"buyId":1282}', 1, 1, 2),
    (c:04, 'place_sell_bid', 2, REPEAT('f', 32), 'done', 0, '{"price":4800,"sellId":1538}', 1, 1, 2),
    (c:05, 'buy_now', 3, REPEAT('f', 32), 'done', 0, '{"orderId":2050,"expectedPrice":4800,"finalPrice":4320}', 1, 1, 2),
    (c:06, 'place_buy_bid', 3, REPEAT('f', 32), 'done', 0, '{"price":3000,"buyId":271}', 1, 1, 2),
    (c:07, 'cancel_bid', 3, REPEAT('f', 32), 'done', 0, '{"buyId":271}', 1, 1, 2),
    (c:08, 'place_sell_bid', 2, REPEAT('f', 32), 'done', 0, '{"price":3500,"sellId":527}', 1, 1, 2),
    (c:09, 'expire_bids', 0, REPEAT('f', 32), 'done', 0, '{"expired":1}', 1, 1, 2),
    (c:10, 'place_buy_bid', 3, REPEAT('f', 32), 'done', 0, '{"price":2500,"buyId":1039}', 1, 1, 2),
    (c:11, 'sell_now', 2, REPEAT('f', 32), 'done', 0, '{"orderId":1551,"price":2500}', 1, 1, 2),
    (c:12, 'place_sell_bid', 3, REPEAT('f', 32), 'done', 0, '{"price":9000,"sellId":1807}', 1, 1, 2),
    (c:13, 'place_buy_bid', 1, REPEAT('f', 32), 'done', 0, '{"price":1000,"buyId":2319}', 1, 1, 2),
    (c:14, 'cancel_bid', 1, REPEAT('f', 32), 'rejected', 3002, '{}', 1, 1, 2),
    (c:15, 'place_buy_bid', 3, REPEAT('f', 32), 'rejected', 1007, '{}', 1, 1, 2),
    (c:16, 'confirm_charge', 1, REPEAT('f', 32), 'done', 0, '{"orderId":"order-1"}', 1, 1, 2),
    (c:17, 'confirm_charge', 2, REPEAT('f', 32), 'rejected', 8004, '{}', 1, 1, 2),
    (c:18, 'request_refund', 1, REPEAT('f', 32), 'done', 0, '{"refundPoint":4000,"userPoint":1}', 1, 1, 2),
    (c:19, 'approve_refund', 4, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 2),
    (c:20, 'cancel_charge', 0, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 2),
    (c:21, 'request_refund', 2, REPEAT('f', 32), 'done', 0, '{"refundPoint":500,"userPoint":1}', 1, 1, 2),
    (c:22, 'request_refund', 3, REPEAT('f', 32), 'done', 0, '{"refundPoint":600,"userPoint":1}', 1, 1, 2),
    (c:23, 'reject_refund', 4, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 2),
    (c:24, 'request_refund', 2, REPEAT('f', 32), 'done', 0, '{"refundPoint":800,"userPoint":1}', 1, 1, 2),
    (c:25, 'approve_refund', 4, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 2),
    (c:26, 'confirm_payout', 4, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 2),
    (c:27, 'fail_payout', 4, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 2),
    (c:31, 'sign_up', 1, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 1),
    (c:32, 'sign_up', 2, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 1),
    (c:33, 'sign_up', 3, REPEAT('f', 32), 'done', 0, '{}', 1, 1, 1);

UPDATE partitions SET last_sequence = 9 WHERE partition_id IN (2, 15);
INSERT INTO gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, command_id, created_at_ms) VALUES
    (770, 2, 1, 'a', REPEAT('a', 32), c:02, 2), (1794, 2, 1, 'b', REPEAT('b', 32), c:04, 2),
    (783, 2, 2, 'c', REPEAT('c', 32), c:08, 2), (1295, 2, 2, 'd', REPEAT('d', 32), c:11, 2),
    (2063, 3, 2, 'e', REPEAT('e', 32), c:12, 2);
-- The voucher of an expired offer was offered again, and sold; another ends with its offer.
UPDATE gifticons SET barcode_hash = REPEAT('2', 32), bid_id = 527 WHERE gifticon_id = 783;
UPDATE gifticons SET barcode_hash = REPEAT('2', 32), bid_id = 514 WHERE gifticon_id = 770;
UPDATE gifticons SET expires_at_ms = 4102444800000, bid_id = 1538 WHERE gifticon_id = 1794;
INSERT INTO barcode_claims (barcode_hash, gifticon_id) VALUES (REPEAT('2', 32), 770);
INSERT INTO bids (bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, placed_at_ms, deadline_ms, closed_at_ms, command_id) VALUES
    (258, 'buy', 1, 1, 5000, 5000, NULL, NULL, 'traded', 1, 4102444800000, 2, c:01),
    (514, 'sell', 1, 2, 4500, 0, NULL, 770, 'traded', 1, 4102444800000, 2, c:02),
    (1282, 'buy', 1, 1, 4000, 3500, 1, NULL, 'open', 1, 4102444800000, NULL, c:03),
    (1538, 'sell', 1, 2, 4800, 0, NULL, 1794, 'traded', 1, 4102444800000, 2, c:04),
    (271, 'buy', 2, 3, 3000, 3000, NULL, NULL, 'cancelled', 1, 4102444800000, 2, c:06),
    (527, 'sell', 2, 2, 3500, 0, NULL, 783, 'expired', 1, 2, 2, c:08),
    (1039, 'buy', 2, 3, 2500, 2500, NULL, NULL, 'traded', 1, 4102444800000, 2, c:10),
    (1807, 'sell', 2, 3, 9000, 0, NULL, 2063, 'open', 1, 4102444800000, NULL, c:12),
    (2319, 'buy', 2, 1, 1000, 1000, NULL, NULL, 'expired', 1, 2, 2, c:13);
INSERT INTO orders (order_id, product_id, buyer_id, seller_id, buy_bid_id, sell_bid_id, gifticon_id, coupon_id, price, final_price, fee, command_id, traded_at_ms) VALUES
    (1026, 1, 1, 2, 258, 514, 770, NULL, 5000, 5000, 50, c:02, 2),
    (2050, 1, 3, 2, NULL, 1538, 1794, 2, 4800, 4320, 48, c:05, 2),
    (1551, 2, 3, 2, 1039, NULL, 1295, NULL, 2500, 2500, 25, c:11, 2);

INSERT INTO payments (order_id, user_id, amount, order_name, state, payment_key, command_id, attempt, cancelled_amount, created_at_ms, updated_at_ms) VALUES
    ('order-1', 1, 10000, 'CHARGE_POINT', 'done', 'key-1', c:16, 1, 3000, 1, 2),
    ('order-2', 2, 2000, 'CHARGE_POINT', 'requested', NULL, NULL, 0, 0, 1, 1),
    ('order-3', 2, 700, 'CHARGE_POINT', 'failed', 'key-3', c:17, 1, 0, 1, 2);
INSERT INTO refunds (refund_id, user_id, amount, bank, account_cipher, account_masked, state, command_id, created_at_ms, updated_at_ms) VALUES
    (1, 1, 4000, 'bank', 'x', '*1', 'paying', c:18, 1, 2), (2, 2, 500, 'bank', 'x', '*2', 'requested', c:21, 1, 2),
    (3, 3, 600, 'bank', 'x', '*3', 'rejected', c:22, 1, 2), (4, 2, 800, 'bank', 'x', '*2', 'partly_paid', c:24, 1, 2);
UPDATE refunds SET decision_id = c:19 WHERE refund_id = 1;
UPDATE refunds SET decision_id = c:23, reject_reason = 'no' WHERE refund_id = 3;
UPDATE refunds SET decision_id = c:25 WHERE refund_id = 4;
INSERT INTO refund_legs (refund_id, leg_no, route, order_id, amount, state, attempt, command_id, updated_at_ms) VALUES
    (1, 0, 'cancel', 'order-1', 3000, 'paid', 1, c:20, 2), (1, 1, 'payout', NULL, 1000, 'planned', 0, c:19, 2),
    (4, 2, 'payout', NULL, 500, 'paid', 0, c:26, 2), (4, 3, 'payout', NULL, 300, 'returned', 0, c:27, 2);

INSERT INTO ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms) VALUES
    (c:31, 0, 'gift', 'available', 1, 100000, 'user:1', 1), (c:31, 0, 'gift', 'gift', 0, -100000, 'user:1', 1),
    (c:32, 0, 'gift', 'available', 2, 100000, 'user:2', 1), (c:32, 0, 'gift', 'gift', 0, -100000, 'user:2', 1),
    (c:33, 0, 'gift', 'available', 3, 100000, 'user:3', 1), (c:33, 0, 'gift', 'gift', 0, -100000, 'user:3', 1),
    (c:01, 0, 'hold', 'available', 1, -5000, 'bid:258', 2), (c:01, 0, 'hold', 'held', 1, 5000, 'bid:258', 2),
    (c:02, 0, 'trade', 'held', 1, -5000, 'order:1026', 2), (c:02, 0, 'trade', 'available', 2, 4950, 'order:1026', 2),
    (c:02, 0, 'trade', 'fee', 0, 50, 'order:1026', 2),
    (c:03, 0, 'hold', 'available', 1, -3500, 'bid:1282', 2), (c:03, 0, 'hold', 'held', 1, 3500, 'bid:1282', 2),
    (c:05, 0, 'trade', 'available', 3, -4320, 'order:2050', 2), (c:05, 0, 'trade', 'available', 2, 4752, 'order:2050', 2),
    (c:05, 0, 'trade', 'fee', 0, 48, 'order:2050', 2), (c:05, 0, 'trade', 'coupon_cost', 0, -480, 'order:2050', 2),
    (c:06, 0, 'hold', 'available', 3, -3000, 'bid:271', 2), (c:06, 0, 'hold', 'held', 3, 3000, 'bid:271', 2),
    (c:07, 0, 'release', 'held', 3, -3000, 'bid:271', 2), (c:07, 0, 'release', 'available', 3, 3000, 'bid:271', 2),
    (c:10, 0, 'hold', 'available', 3, -2500, 'bid:1039', 2), (c:10, 0, 'hold', 'held', 3, 2500, 'bid:1039', 2),
    (c:11, 0, 'trade', 'held', 3, -2500, 'order:1551', 2), (c:11, 0, 'trade', 'available', 2, 2475, 'order:1551', 2),
    (c:11, 0, 'trade', 'fee', 0, 25, 'order:1551', 2),
    (c:13, 0, 'hold', 'available', 1, -1000, 'bid:2319', 2), (c:13, 0, 'hold', 'held', 1, 1000, 'bid:2319', 2),
    (c:14, 0, 'release', 'held', 1, -1000, 'bid:2319', 2), (c:14, 0, 'release', 'available', 1, 1000, 'bid:2319', 2),
    (c:16, 0, 'charge', 'available', 1, 10000, 'order-1', 2), (c:16, 0, 'charge', 'toss_clearing', 0, -10000, 'order-1', 2),
    (c:18, 0, 'refund_hold', 'available', 1, -4000, 'refund:1', 2), (c:18, 0, 'refund_hold', 'held', 1, 4000, 'refund:1', 2),
    (c:20, 0, 'refund_paid', 'held', 1, -3000, 'refund:1:0', 2), (c:20, 0, 'refund_paid', 'toss_clearing', 0, 3000, 'refund:1:0', 2),
    (c:21, 0, 'refund_hold', 'available', 2, -500, 'refund:2', 2), (c:21, 0, 'refund_hold', 'held', 2, 500, 'refund:2', 2),
    (c:22, 0, 'refund_hold', 'available', 3, -600, 'refund:3', 2), (c:22, 0, 'refund_hold', 'held', 3, 600, 'refund:3', 2),
    (c:23, 0, 'refund_returned', 'held', 3, -600, 'refund:3', 2), (c:23, 0, 'refund_returned', 'available', 3, 600, 'refund:3', 2),
    (c:24, 0, 'refund_hold', 'available', 2, -800, 'refund:4', 2), (c:24, 0, 'refund_hold', 'held', 2, 800, 'refund:4', 2),
    (c:26, 0, 'refund_paid', 'held', 2, -500, 'refund:4:2', 2), (c:26, 0, 'refund_paid', 'payout_clearing', 0, 500, 'refund:4:2', 2),
    (c:27, 0, 'refund_returned', 'held', 2, -300, 'refund:4:3', 2), (c:27, 0, 'refund_returned', 'available', 2, 300, 'refund:4:3', 2);
INSERT INTO balances (user_id, available, held)
    SELECT u.user_id, COALESCE(SUM(CASE WHEN e.account = 'available' THEN e.amount END), 0),
           COALESCE(SUM(CASE WHEN e.account = 'held' THEN e.amount END), 0)
    FROM users u LEFT JOIN ledger_entries e ON e.user_id = u.user_id GROUP BY u.user_id;
