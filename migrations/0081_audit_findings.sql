-- What the live audit found wrong and has not found right again: a whole round of its walk without it takes it away.
CREATE TABLE audit_findings (
    check_name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    finding VARCHAR(400) NOT NULL,
    walk VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    round BIGINT NOT NULL,
    found_at_ms BIGINT NOT NULL,
    PRIMARY KEY (check_name, finding),
    KEY audit_findings_walk (walk, round)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
