//! Real pictures, and bytes that somebody made to break us. More cases: `PROPTEST_CASES=100000 cargo test -p pictures`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure here is a failed test")]

mod barcodes;
mod drawn;
mod hostile;
mod metadata;
