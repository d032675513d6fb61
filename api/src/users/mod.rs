//! Users: sign-up, login (also by Kakao) and logout, points, withdrawal.

pub(crate) mod kakao;
pub(crate) mod login;
pub(crate) mod points;
pub(crate) mod sign_up;
pub(crate) mod withdraw;
