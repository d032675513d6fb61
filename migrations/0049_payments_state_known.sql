ALTER TABLE payments ADD CONSTRAINT payments_state_known
    CHECK (state IN ('requested', 'confirming', 'awaiting_deposit', 'done', 'failed') AND reversed_amount >= 0)
