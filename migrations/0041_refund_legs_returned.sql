-- A payout leg whose transfer could not be made is returned; failure_reason is for the user to read. command_id is, of a
-- leg that was paid or returned, the command that ended it.
ALTER TABLE refund_legs
    ADD COLUMN failure_reason VARCHAR(200) NULL,
    DROP CONSTRAINT refund_legs_state_known,
    ADD CONSTRAINT refund_legs_states CHECK (state IN ('planned', 'executing', 'paid', 'moved', 'returned'))
