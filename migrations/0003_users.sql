CREATE TABLE users (
    user_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    login_id VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    nickname VARCHAR(20) COLLATE utf8mb4_bin NOT NULL,
    password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
    role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    provider VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE KEY users_login_id (login_id),
    UNIQUE KEY users_nickname (nickname),
    CONSTRAINT users_role CHECK (role IN ('user', 'administrator')),
    CONSTRAINT users_provider CHECK (provider IN ('local', 'kakao'))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
