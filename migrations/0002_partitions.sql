-- The guard row of each partition: whoever holds its lock carries out that partition's commands.
-- epoch counts the hand-overs; connection_id lets a successor end a predecessor that stands still inside a transaction.
CREATE TABLE partitions (
    partition_id SMALLINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    owner VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    connection_id BIGINT NOT NULL,
    last_sequence BIGINT NOT NULL,
    last_time_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
