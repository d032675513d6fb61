-- What was decided once, when this database was made. The partition count is part of every bid's id and of every
-- queue's name, so start-up refuses to run with another.
CREATE TABLE installation (
    id TINYINT NOT NULL PRIMARY KEY,
    partition_count SMALLINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    CONSTRAINT installation_is_one CHECK (id = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
