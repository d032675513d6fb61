-- One row, counted up on the primary about twice a second by every API that reads from a replica: what the replica
-- shows of it tells how far behind it is, whatever kind of replication there is, without any special right, and without
-- comparing two hosts' clocks.
CREATE TABLE replica_heartbeat (
    id TINYINT NOT NULL PRIMARY KEY,
    beat BIGINT NOT NULL,
    CONSTRAINT replica_heartbeat_is_one CHECK (id = 1)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
