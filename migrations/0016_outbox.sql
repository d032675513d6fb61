-- What must be published because a transaction committed. The relay takes unsent rows (never 'id greater than': ids
-- commit out of order) and deletes them once the broker confirmed.
CREATE TABLE outbox (
    outbox_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    exchange_name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    routing_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payload TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
