-- What happened to a command beside its outcome, for people: attempts that failed, visits to a dead-letter queue, replays,
-- and what operators did. Written when something goes wrong, never read by a worker, deleted when it is old.
CREATE TABLE command_history (
    entry_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    command_id BINARY(16) NOT NULL,
    what VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    happened_at_ms BIGINT NOT NULL,
    took_ms INT NULL,
    attempt INT NULL,
    seen_by VARCHAR(100) NOT NULL,
    reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
    detail VARCHAR(500) NOT NULL,
    action_id BIGINT NULL,
    KEY command_history_command (command_id, entry_id),
    KEY command_history_age (happened_at_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
