//! Rule by rule, at the edges.

mod cancel_and_expire;
mod instant;
mod place;
mod time;
mod vouchers;
mod windows;
