-- What is known of a voucher beside its picture: a keyed hash of its barcode (never the barcode itself), the exclusive end
-- of its own validity, the sell bid that offers it (NULL: sold at once, or taken in before this column was), and when its
-- picture was destroyed. The key is for the sweeper, who knows a picture by the command that brought it.
ALTER TABLE gifticons
    ADD COLUMN barcode_hash BINARY(32) NULL,
    ADD COLUMN expires_at_ms BIGINT NULL,
    ADD COLUMN bid_id BIGINT NULL,
    ADD COLUMN picture_swept_at_ms BIGINT NULL,
    ADD KEY gifticons_command (command_id)
