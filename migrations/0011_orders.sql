-- Trades. price is what the seller is paid for (before the fee); final_price is what the buyer paid after the coupon.
CREATE TABLE orders (
    order_id BIGINT NOT NULL PRIMARY KEY,
    product_id BIGINT NOT NULL,
    buyer_id BIGINT NOT NULL,
    seller_id BIGINT NOT NULL,
    buy_bid_id BIGINT NULL,
    sell_bid_id BIGINT NULL,
    gifticon_id BIGINT NOT NULL,
    coupon_id BIGINT NULL,
    price BIGINT NOT NULL,
    final_price BIGINT NOT NULL,
    fee BIGINT NOT NULL,
    command_id BINARY(16) NOT NULL,
    traded_at_ms BIGINT NOT NULL,
    UNIQUE KEY orders_gifticon (gifticon_id),
    UNIQUE KEY orders_buy_bid (buy_bid_id),
    UNIQUE KEY orders_sell_bid (sell_bid_id),
    KEY orders_product (product_id, order_id),
    KEY orders_buyer (buyer_id, order_id),
    KEY orders_seller (seller_id, order_id),
    CONSTRAINT orders_not_with_oneself CHECK (buyer_id <> seller_id),
    CONSTRAINT orders_price CHECK (price > 0 AND final_price >= 0 AND final_price <= price AND fee >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
