-- Where our books and Toss differ: for a person, never mended by itself. One row an order and kind; gone_at_ms is set
-- once a later comparison no longer finds it.
CREATE TABLE differences (
    order_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    detail VARCHAR(500) NOT NULL,
    found_at_ms BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    gone_at_ms BIGINT NULL,
    PRIMARY KEY (order_id, kind),
    KEY differences_gone (gone_at_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
