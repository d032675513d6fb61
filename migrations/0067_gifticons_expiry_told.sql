-- When its buyer was told that a gifticon is about to expire.
ALTER TABLE gifticons
    ADD COLUMN expiry_told_at_ms BIGINT NULL,
    ADD KEY gifticons_expiry (expiry_told_at_ms, expires_at_ms)
