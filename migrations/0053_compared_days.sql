-- Days (in Seoul, counted from 1970-01-01) whose transactions at Toss were compared with the ledger.
CREATE TABLE compared_days (
    seoul_day INT NOT NULL PRIMARY KEY,
    transactions INT NOT NULL,
    suspects INT NOT NULL,
    differences INT NOT NULL,
    compared_at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
