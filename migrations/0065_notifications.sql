-- What users are told: numbered per user without a gap, and once an event and user.
CREATE TABLE notifications (
    user_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    event_key VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- The event as JSON, as it was published. Who may see what of it is decided when it is shown.
    payload TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, number),
    UNIQUE KEY notifications_event (event_key, user_id),
    KEY notifications_created (created_at_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
