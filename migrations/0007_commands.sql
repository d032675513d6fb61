-- The inbox and the outcomes: one row a command, written in the transaction that carries it out.
CREATE TABLE commands (
    command_id BINARY(16) NOT NULL PRIMARY KEY,
    kind VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id BIGINT NOT NULL,
    fingerprint BINARY(32) NOT NULL,
    state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    result_code INT NOT NULL,
    data TEXT NOT NULL,
    attempts SMALLINT NOT NULL,
    accepted_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    KEY commands_accepted (accepted_at_ms),
    CONSTRAINT commands_state CHECK (state IN ('executing', 'retrying', 'suspended', 'done', 'rejected', 'discarded'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
