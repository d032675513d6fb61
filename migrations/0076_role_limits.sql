-- Limits that operators turn while a role runs. A role without a row, and a limit that is NULL, is as configured.
CREATE TABLE role_limits (
    role VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    is_paused BOOLEAN NOT NULL,
    batch_max INT NULL,
    concurrency INT NULL,
    changed_by VARCHAR(100) NOT NULL,
    why VARCHAR(500) NOT NULL,
    changed_at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
