-- Vouchers, as offered: bearer money, so the picture's place is never handed out as it stands.
CREATE TABLE gifticons (
    gifticon_id BIGINT NOT NULL PRIMARY KEY,
    owner_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    picture_key VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    picture_sha256 BINARY(32) NOT NULL,
    command_id BINARY(16) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    KEY gifticons_owner (owner_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
