-- What the fleet knows of a service's health: one row a service, changed only by whoever has read its present version.
-- Workers look at it before they call and about once a second; they write to it when a call failed or was slow, and of
-- good calls about once a second. Of a call it counts thousandths.
CREATE TABLE circuit_breakers (
    service VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    phase VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    phase_since_ms BIGINT NOT NULL,
    phase_by VARCHAR(64) NOT NULL,
    until_ms BIGINT NOT NULL,
    pause_ms BIGINT NOT NULL,
    probe BIGINT NOT NULL,
    calls INT NOT NULL,
    failed INT NOT NULL,
    slow INT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
