-- A refund may be rejected, or end without (all of) it having been paid. decision_id is the command that approved or
-- rejected it (commands.user_id is who decided); reject_reason is for the user to read.
ALTER TABLE refunds
    ADD COLUMN decision_id BINARY(16) NULL,
    ADD COLUMN reject_reason VARCHAR(200) NULL,
    DROP CONSTRAINT refunds_state_known,
    ADD CONSTRAINT refunds_states CHECK (state IN ('requested', 'paying', 'paid', 'partly_paid', 'returned', 'rejected'))
