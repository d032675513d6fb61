-- One row a login; both tokens carry its id, so that logging out revokes them everywhere at once.
CREATE TABLE sessions (
    session_id BINARY(16) NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT NULL,
    KEY sessions_user (user_id),
    KEY sessions_expiry (expires_at_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
