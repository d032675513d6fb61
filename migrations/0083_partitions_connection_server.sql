-- Which server of a cluster connection_id is a number of: to another one it means something else. Empty: written by a
-- version that knew of one server only.
ALTER TABLE partitions
    ADD COLUMN connection_server VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT ''
