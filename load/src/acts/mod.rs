//! The acts of a market day, in the order in which they are played.

pub(crate) mod approving;
pub(crate) mod closing;
pub(crate) mod jump;
pub(crate) mod night;
pub(crate) mod opening;
pub(crate) mod provoking;
pub(crate) mod trading;
