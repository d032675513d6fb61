-- Every bid, open and closed. bid_id carries the partition in its low bits and is the time priority within a price.
-- book_price is the price as the book sorts it: ascending is better on both sides, so one index serves both.
CREATE TABLE bids (
    bid_id BIGINT NOT NULL PRIMARY KEY,
    side VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    product_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    price BIGINT NOT NULL,
    book_price BIGINT GENERATED ALWAYS AS (CASE side WHEN 'sell' THEN price ELSE -price END) STORED,
    hold BIGINT NOT NULL,
    coupon_id BIGINT NULL,
    gifticon_id BIGINT NULL,
    state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    placed_at_ms BIGINT NOT NULL,
    deadline_ms BIGINT NOT NULL,
    closed_at_ms BIGINT NULL,
    command_id BINARY(16) NOT NULL,
    KEY bids_book (product_id, side, state, book_price, bid_id, deadline_ms),
    KEY bids_stale (state, deadline_ms, product_id),
    KEY bids_user (user_id, state, product_id),
    CONSTRAINT bids_side CHECK (side IN ('buy', 'sell')),
    CONSTRAINT bids_state CHECK (state IN ('open', 'traded', 'cancelled', 'expired')),
    CONSTRAINT bids_price CHECK (price > 0),
    CONSTRAINT bids_hold CHECK (hold >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
