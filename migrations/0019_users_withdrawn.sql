-- When the person left. From then on the row only says whose the ledger's entries were: its names are made up, nobody can
-- log in, and its row in balances is gone (no balance: workers refuse the user's commands).
ALTER TABLE users ADD COLUMN withdrawn_at_ms BIGINT NULL
