//! Products and their markets, as anybody may read them.

pub(crate) mod known;
pub(crate) mod list;
pub(crate) mod market;
