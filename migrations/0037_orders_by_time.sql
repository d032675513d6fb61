-- A user's own purchases and sales are read newest first, by pages: a page is a range of the index, however many there are.
ALTER TABLE orders
    ADD KEY orders_buyer_at (buyer_id, traded_at_ms, order_id),
    ADD KEY orders_seller_at (seller_id, traded_at_ms, order_id),
    DROP KEY orders_buyer,
    DROP KEY orders_seller
