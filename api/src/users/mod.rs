//! Users: sign-up, login and logout, points.

pub(crate) mod login;
pub(crate) mod points;
pub(crate) mod sign_up;
