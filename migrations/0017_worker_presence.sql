-- Which bid workers are alive, so that each knows its share of the partitions.
CREATE TABLE worker_presence (
    worker VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seen_at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
