-- Which administrator was shown the account number of a payout leg, written before it is shown. Never updated.
CREATE TABLE account_reveals (
    reveal_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    refund_id BIGINT NOT NULL,
    leg_no SMALLINT NOT NULL,
    administrator_id BIGINT NOT NULL,
    revealed_at_ms BIGINT NOT NULL,
    KEY account_reveals_refund (refund_id, reveal_id),
    KEY account_reveals_administrator (administrator_id, reveal_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
