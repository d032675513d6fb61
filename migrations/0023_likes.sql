-- Products that somebody likes. Written by the API itself: it is nobody's money, and doing it twice changes nothing.
CREATE TABLE likes (
    user_id BIGINT NOT NULL,
    product_id BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, product_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
