-- Whoever numbers a user's notifications locks the user's row here, and up to where the user has read.
CREATE TABLE notification_counters (
    user_id BIGINT NOT NULL PRIMARY KEY,
    last_number BIGINT NOT NULL,
    read_number BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
