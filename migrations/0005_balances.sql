-- Points of each user: the sums of their ledger entries, kept beside them so that a command reads one row.
CREATE TABLE balances (
    user_id BIGINT NOT NULL PRIMARY KEY,
    available BIGINT NOT NULL,
    held BIGINT NOT NULL,
    CONSTRAINT balances_available CHECK (available >= 0),
    CONSTRAINT balances_held CHECK (held >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
