//! The barcode of a voucher, as a keyed hash: equal for the same voucher, and worth nothing to whoever reads a message,
//! a row or a backup. The barcode itself is bearer money and is never written down.

use crate::envelope::Fingerprint;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A keyed hash of what a voucher's barcode says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct BarcodeHash(pub [u8; 32]);

/// 64 hexadecimal digits, as of a fingerprint.
impl fmt::Display for BarcodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fingerprint(self.0).fmt(f)
    }
}

impl Serialize for BarcodeHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fingerprint(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BarcodeHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fingerprint::deserialize(deserializer).map(|digits| Self(digits.0))
    }
}
