-- Which voucher was offered last under each barcode. It counts while that offer is open or was traded; after that the
-- next offer takes the row over. One row a voucher that was ever offered, in whatever partition.
CREATE TABLE barcode_claims (
    barcode_hash BINARY(32) NOT NULL PRIMARY KEY,
    gifticon_id BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
