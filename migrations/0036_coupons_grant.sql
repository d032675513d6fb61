-- What granted a coupon, where the administrator gave it a key: repeated, it finds the coupon that is there.
ALTER TABLE coupons
    ADD COLUMN grant_id BINARY(16) NULL,
    ADD UNIQUE KEY coupons_grant (grant_id)
