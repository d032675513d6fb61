-- What users owe: money that Toss took back after it was spent. The sums of their ledger entries on 'receivable',
-- negated. A row may outlive its user. Refunds are frozen while there is one above zero.
CREATE TABLE receivables (
    user_id BIGINT NOT NULL PRIMARY KEY,
    amount BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    KEY receivables_amount (amount),
    CONSTRAINT receivables_amount_owed CHECK (amount >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
