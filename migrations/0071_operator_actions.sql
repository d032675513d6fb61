-- What people did to the live system: written before it begins, so that one that was cut short shows (ended_at_ms is
-- NULL). selection is JSON: what it was asked to act on. Never deleted.
CREATE TABLE operator_actions (
    action_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    what VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    done_by VARCHAR(100) NOT NULL,
    why VARCHAR(500) NOT NULL,
    selection TEXT NOT NULL,
    begun_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT NULL,
    selected INT NULL,
    acted_on INT NULL,
    failure VARCHAR(500) NULL,
    KEY operator_actions_begun (begun_at_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
