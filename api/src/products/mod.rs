//! Products and their markets, as anybody may read them.

pub(crate) mod known;
pub(crate) mod likes;
pub(crate) mod list;
pub(crate) mod market;
pub(crate) mod prices;
pub(crate) mod stream;
