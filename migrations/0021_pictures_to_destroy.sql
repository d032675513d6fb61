-- Pictures that nobody may see any more: noted in the transaction that decided it, destroyed by the scheduler.
CREATE TABLE pictures_to_destroy (
    picture_key VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    noted_at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
