-- Whoever leaves has no open offer, and the sweeper destroys the pictures of ended ones without being told. No version that
-- was ever released used the table.
DROP TABLE pictures_to_destroy
