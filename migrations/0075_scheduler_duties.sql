-- What each of the scheduler's duties did last. `runs` and `successes` count up for ever: whoever watches looks for them
-- to move, and compares no two hosts' clocks.
CREATE TABLE scheduler_duties (
    duty VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    runs BIGINT NOT NULL,
    successes BIGINT NOT NULL,
    items BIGINT NOT NULL,
    last_run_at_ms BIGINT NOT NULL,
    last_success_at_ms BIGINT NULL,
    duration_ms BIGINT NOT NULL,
    last_items BIGINT NOT NULL,
    lag_ms BIGINT NULL,
    pause_ms BIGINT NOT NULL,
    error VARCHAR(500) NULL,
    process VARCHAR(64) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
