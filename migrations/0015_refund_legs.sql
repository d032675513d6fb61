-- Where each won of an approved refund goes: back through a charge (cancel) or by bank transfer (payout).
CREATE TABLE refund_legs (
    refund_id BIGINT NOT NULL,
    leg_no SMALLINT NOT NULL,
    route VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    order_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    amount BIGINT NOT NULL,
    state VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempt SMALLINT NOT NULL,
    cancelled_before BIGINT NULL,
    command_id BINARY(16) NOT NULL,
    failure_code VARCHAR(100) NULL,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (refund_id, leg_no),
    KEY refund_legs_state (state, updated_at_ms),
    KEY refund_legs_order (order_id),
    CONSTRAINT refund_legs_route CHECK (route IN ('cancel', 'payout')),
    CONSTRAINT refund_legs_state_known CHECK (state IN ('planned', 'executing', 'paid', 'moved')),
    CONSTRAINT refund_legs_amount CHECK (amount > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
