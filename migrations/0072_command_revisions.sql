-- Edited dead letters. The newest revision is what a replay carries out, whatever copy of the message is replayed.
-- Payloads as published, except that bank account numbers are encrypted in them as everywhere.
CREATE TABLE command_revisions (
    command_id BINARY(16) NOT NULL,
    revision INT NOT NULL,
    fingerprint BINARY(32) NOT NULL,
    fingerprint_before BINARY(32) NULL,
    payload TEXT NOT NULL,
    payload_before TEXT NOT NULL,
    action_id BIGINT NOT NULL,
    made_at_ms BIGINT NOT NULL,
    PRIMARY KEY (command_id, revision)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
