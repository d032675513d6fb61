-- Counted up by each look-up that was booked: one that began before another was booked is made again.
ALTER TABLE payments ADD COLUMN looks INT NOT NULL DEFAULT 0
