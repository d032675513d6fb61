-- Whom a gifticon's picture was shown to, written before it is shown: a gifticon is bearer money. Never updated.
CREATE TABLE gifticon_reveals (
    reveal_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    gifticon_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    revealed_at_ms BIGINT NOT NULL,
    KEY gifticon_reveals_gifticon (gifticon_id, reveal_id),
    KEY gifticon_reveals_user (user_id, reveal_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
