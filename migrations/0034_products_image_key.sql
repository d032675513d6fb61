-- For the sweeper, who asks which of some pictures products name.
ALTER TABLE products ADD KEY products_image (image_url)
