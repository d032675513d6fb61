//! Identifiers. Integers stay below 2^53, so that a JavaScript client can hold every one of them exactly.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

/// The first integer that a JavaScript number no longer holds exactly.
pub const ID_LIMIT: u64 = 1 << 53;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id!(
    /// A person with an account. [`UserId::SYSTEM`] is the market itself.
    UserId
);
integer_id!(
    /// A product: what a gifticon can be exchanged for.
    ProductId
);
integer_id!(
    /// A bid, buy or sell. Its low bits name its partition (see [`crate::partition`]).
    BidId
);
integer_id!(
    /// A trade that was made. Numbered from the partition's sequence, like bids.
    OrderId
);
integer_id!(
    /// One voucher, as offered once. Numbered from the partition's sequence, like bids.
    GifticonId
);
integer_id!(
    /// A coupon that belongs to one user.
    CouponId
);
integer_id!(
    /// A request to get points paid back.
    RefundId
);

impl UserId {
    /// The owner of what belongs to nobody: expiry commands, clearing accounts.
    pub const SYSTEM: UserId = UserId(0);
}

/// A command's identity, and with it the identity of its effect: at most one per id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct CommandId(pub Uuid);

impl CommandId {
    /// A fresh id (`UUIDv7`) from the clock and ten random bytes of the caller's.
    pub fn fresh(now: crate::UnixMs, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.0).unwrap_or(0);
        Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id (`UUIDv8`) that the same user, operation and key always give, so that a client's retry, or a second
    /// scheduler's, is the same command.
    pub fn derived(user: UserId, operation: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(user.0.to_be_bytes());
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((operation.len() as u64).to_be_bytes());
        hash.update(operation.as_bytes());
        hash.update(key.as_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The 16 bytes, as stored in `BINARY(16)` columns.
    pub fn bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// Reads what [`CommandId::bytes`] wrote; `None` when it is not 16 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for CommandId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_depends_on_every_part_and_on_nothing_else() {
        let id = CommandId::derived(UserId(7), "buy", "k");
        assert_eq!(id, CommandId::derived(UserId(7), "buy", "k"));
        assert_ne!(id, CommandId::derived(UserId(8), "buy", "k"));
        assert_ne!(id, CommandId::derived(UserId(7), "sell", "k"));
        assert_ne!(id, CommandId::derived(UserId(7), "buy", "l"));
        assert_ne!(CommandId::derived(UserId(7), "ab", "c"), CommandId::derived(UserId(7), "a", "bc"));
        assert_eq!(id.0.get_version_num(), 8);
    }

    #[test]
    fn a_fresh_id_carries_its_time() {
        let id = CommandId::fresh(crate::UnixMs(1_700_000_000_000), [7; 10]);
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(&id.bytes()[..6], &1_700_000_000_000_u64.to_be_bytes()[2..]);
    }
}
