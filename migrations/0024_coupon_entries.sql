-- The ledger of coupons: every step of one, from its grant on. Never updated, never deleted. What a coupon cost the
-- market is an entry of its trade in ledger_entries; here it is told where the coupon was meanwhile.
-- reference says what the step was about (the bid, the order, or the administrator who granted it); command_id which
-- command took it (NULL: granted). Before this table nothing could grant a coupon, so there is no past to write.
CREATE TABLE coupon_entries (
    entry_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    coupon_id BIGINT NOT NULL,
    step VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reference VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    command_id BINARY(16) NULL,
    created_at_ms BIGINT NOT NULL,
    KEY coupon_entries_coupon (coupon_id, entry_id),
    CONSTRAINT coupon_entries_step CHECK (step IN ('granted', 'reserved', 'returned', 'used'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
