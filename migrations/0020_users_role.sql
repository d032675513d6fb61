-- The administrators, few among many: a withdrawal locks them all, so that the last two cannot leave at once.
ALTER TABLE users ADD KEY users_role (role)
