-- Makes room for 'awaiting_deposit': the check returns with the next file.
ALTER TABLE payments DROP CONSTRAINT payments_state_known
