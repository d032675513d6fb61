-- The mark that lies in this installation's picture store: a process that finds another one there, or none, has been given
-- another folder or bucket, and does not start.
ALTER TABLE installation ADD COLUMN picture_store VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NULL
