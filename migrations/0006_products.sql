CREATE TABLE products (
    product_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    brand VARCHAR(60) COLLATE utf8mb4_unicode_520_ci NOT NULL,
    name VARCHAR(120) COLLATE utf8mb4_unicode_520_ci NOT NULL,
    description VARCHAR(2000) NOT NULL,
    price BIGINT NOT NULL,
    image_url VARCHAR(500) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE KEY products_name (name),
    CONSTRAINT products_price CHECK (price > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
