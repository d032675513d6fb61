-- A coupon is reserved with a bid, used with the trade, and given back on cancel or expiry.
CREATE TABLE coupons (
    coupon_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    name VARCHAR(30) NOT NULL,
    discount_type VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    discount BIGINT NOT NULL,
    state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at_ms BIGINT NOT NULL,
    KEY coupons_user (user_id, state),
    CONSTRAINT coupons_type CHECK (discount_type IN ('RATE', 'FIX')),
    CONSTRAINT coupons_state CHECK (state IN ('available', 'reserved', 'used'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
