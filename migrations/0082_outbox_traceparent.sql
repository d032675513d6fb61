-- The trace that a message is a part of, by W3C; NULL: none.
ALTER TABLE outbox ADD COLUMN traceparent VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;
