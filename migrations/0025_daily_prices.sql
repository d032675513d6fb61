-- What a product cost on each day in Seoul on which it was traded (prices before coupons). Made from orders by the
-- scheduler, never by whoever trades: last_order_id is the last trade that is in it, so whatever came after it is
-- still to be found by the index orders_product.
CREATE TABLE daily_prices (
    product_id BIGINT NOT NULL,
    seoul_day BIGINT NOT NULL,
    first_price BIGINT NOT NULL,
    high_price BIGINT NOT NULL,
    low_price BIGINT NOT NULL,
    last_price BIGINT NOT NULL,
    trades BIGINT NOT NULL,
    last_order_id BIGINT NOT NULL,
    PRIMARY KEY (product_id, seoul_day)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
