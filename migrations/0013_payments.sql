-- Charges. `attempt` numbers the idempotency keys: a new number only after a look-up showed that nothing was taken.
CREATE TABLE payments (
    order_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    order_name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    payment_key VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NULL,
    command_id BINARY(16) NULL,
    attempt SMALLINT NOT NULL,
    confirm_by_ms BIGINT NULL,
    cancelled_amount BIGINT NOT NULL,
    toss_payment TEXT NULL,
    failure_code VARCHAR(100) NULL,
    failure_message VARCHAR(500) NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    UNIQUE KEY payments_payment_key (payment_key),
    KEY payments_user (user_id, state, created_at_ms),
    KEY payments_state (state, updated_at_ms),
    CONSTRAINT payments_state_known CHECK (state IN ('requested', 'confirming', 'done', 'failed')),
    CONSTRAINT payments_amount CHECK (amount > 0 AND cancelled_amount >= 0 AND cancelled_amount <= amount)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
