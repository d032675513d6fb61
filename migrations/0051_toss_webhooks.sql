-- Webhooks that became commands, so that Toss's repeats are not looked into again. Kept for a while.
CREATE TABLE toss_webhooks (
    transmission_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    received_at_ms BIGINT NOT NULL,
    KEY toss_webhooks_received (received_at_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
