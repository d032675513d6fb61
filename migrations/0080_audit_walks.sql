-- Where each walk of the live audit stands: the key of the last row that was held against the rules, as bytes that order as
-- the rows do; empty at a round's beginning. slice_rows is what lately took about as long as it may.
CREATE TABLE audit_walks (
    walk VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    position VARBINARY(16) NOT NULL,
    slice_rows INT NOT NULL,
    round BIGINT NOT NULL,
    round_began_at_ms BIGINT NOT NULL,
    round_ended_at_ms BIGINT NULL,
    examined BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
