//! Uploaded pictures: which format they are, the same picture without metadata, its pixels, and the barcode in it.
//!
//! ```text
//! bytes ─► Format::of ─► stripped ─► Pixels::decode ─► barcode::read
//! ```
//! Promises: pure functions of bytes; whatever the bytes are, they end in bounded time and memory with a value or an
//! error, never in a panic. Metadata is removed before anything is decoded, so what is decoded is what is stored.
//! Doesn't: store, limit how many run at once, or know what a gifticon is (`api/src/pictures` does).

pub mod barcode;
mod format;
mod pixels;
mod strip;

pub use format::Format;
pub use pixels::{Limits, NotDecodable, Pixels};
pub use strip::{Damaged, stripped};
