-- What Toss took back of a credited charge although no refund of ours asked for it, and was booked so.
ALTER TABLE payments ADD COLUMN reversed_amount BIGINT NOT NULL DEFAULT 0
