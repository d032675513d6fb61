-- Who logs in by Kakao, by Kakao's own number of the person. A withdrawal deletes the row.
CREATE TABLE kakao_accounts (
    kakao_id BIGINT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE KEY kakao_accounts_user (user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
