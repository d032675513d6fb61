-- 환급: points that a user wants back as money.
CREATE TABLE refunds (
    refund_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    bank VARCHAR(40) NOT NULL,
    account_cipher VARCHAR(400) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    account_masked VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    command_id BINARY(16) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    UNIQUE KEY refunds_command (command_id),
    KEY refunds_state (state, refund_id),
    KEY refunds_user (user_id, refund_id),
    CONSTRAINT refunds_state_known CHECK (state IN ('requested', 'paying', 'paid')),
    CONSTRAINT refunds_amount CHECK (amount > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
