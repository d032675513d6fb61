-- Double entry. The entries of one transfer (command_id, transfer_no) sum to zero. Never updated, never deleted.
-- reference says what the transfer was about: a bid, an order, a payment or a refund leg.
CREATE TABLE ledger_entries (
    entry_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    command_id BINARY(16) NOT NULL,
    transfer_no SMALLINT NOT NULL,
    reason VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    account VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    reference VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE KEY ledger_entries_transfer (command_id, transfer_no, account, user_id),
    KEY ledger_entries_user (user_id, entry_id),
    CONSTRAINT ledger_entries_amount CHECK (amount <> 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
