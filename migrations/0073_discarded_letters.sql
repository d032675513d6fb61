-- Dead letters that a person gave up, kept so that it can be undone: letter_key is a hash of queue and body. Headers are
-- JSON. Deleted once keep_until_ms has passed.
CREATE TABLE discarded_letters (
    letter_key BINARY(8) NOT NULL PRIMARY KEY,
    command_id BINARY(16) NULL,
    role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payload MEDIUMBLOB NOT NULL,
    headers TEXT NOT NULL,
    action_id BIGINT NOT NULL,
    discarded_at_ms BIGINT NOT NULL,
    keep_until_ms BIGINT NOT NULL,
    KEY discarded_letters_command (command_id),
    KEY discarded_letters_age (keep_until_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
