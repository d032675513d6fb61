-- A virtual account's secret: who knows it may tell us that a deposit came. Shown to nobody.
ALTER TABLE payments ADD COLUMN webhook_secret VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL
