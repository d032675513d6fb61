//! Which partition a product belongs to, and how a bid's id tells its partition.
//!
//! Source of the rule: design, "Partition". N is fixed when the database is made; start-up refuses another.

use crate::id::{BidId, ID_LIMIT, ProductId};
use std::fmt;

/// The low bits of every id from a partition's sequence name the partition.
pub const PARTITION_BITS: u32 = 8;
/// More partitions than this do not fit into [`PARTITION_BITS`].
pub const MAX_PARTITIONS: u16 = 1 << PARTITION_BITS;
/// The last number a partition's sequence may reach before ids would leave the range of JavaScript's integers.
pub const MAX_SEQUENCE: u64 = (ID_LIMIT >> PARTITION_BITS) - 1;

/// One partition: a queue, a guard row, and a sequence of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

/// How many partitions this installation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionCount(u16);

impl PartitionCount {
    /// `None` unless `count` is between 1 and [`MAX_PARTITIONS`].
    pub fn new(count: u16) -> Option<Self> {
        (1..=MAX_PARTITIONS).contains(&count).then_some(Self(count))
    }

    /// The plain number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Every partition, in order.
    pub fn all(self) -> impl Iterator<Item = PartitionId> {
        (0..self.0).map(PartitionId)
    }

    /// The partition of a product: FNV-1a over the id's eight bytes, modulo N. Stable for ever: queues and ids depend on it.
    pub fn of_product(self, product: ProductId) -> PartitionId {
        let hash = product.0.to_be_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // The remainder is below 256, so it fits.
        PartitionId(u16::try_from(hash % u64::from(self.0)).unwrap_or(0))
    }

    /// The partition of a bid, or `None` when no bid of this installation can have that id.
    pub fn of_bid(self, bid: BidId) -> Option<PartitionId> {
        if bid.0 >= ID_LIMIT || bid.0 >> PARTITION_BITS == 0 {
            return None;
        }
        let low = u16::try_from(bid.0 & u64::from(MAX_PARTITIONS - 1)).ok()?;
        (low < self.0).then_some(PartitionId(low))
    }
}

/// The id that number `sequence` of `partition` gives; `None` past [`MAX_SEQUENCE`].
pub fn id_from_sequence(partition: PartitionId, sequence: u64) -> Option<u64> {
    (sequence <= MAX_SEQUENCE).then_some((sequence << PARTITION_BITS) | u64::from(partition.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_leads_back_to_its_partition(count in 1_u16..=256, pick in 0_u16..256, sequence in 1_u64..=MAX_SEQUENCE) {
            let count = PartitionCount::new(count).unwrap();
            let partition = PartitionId(pick % count.get());
            let id = id_from_sequence(partition, sequence).unwrap();
            prop_assert!(id < ID_LIMIT);
            prop_assert_eq!(count.of_bid(BidId(id)), Some(partition));
        }

        #[test]
        fn every_product_has_a_partition_within_range(count in 1_u16..=256, product: u64) {
            let count = PartitionCount::new(count).unwrap();
            prop_assert!(count.of_product(ProductId(product)).0 < count.get());
        }
    }

    #[test]
    fn the_hash_never_changes() {
        // Pinned: a change here would send a live product's bids to another queue.
        let sixteen = PartitionCount::new(16).unwrap();
        let found: Vec<u16> = (1..=8).map(|product| sixteen.of_product(ProductId(product)).0).collect();
        assert_eq!(found, PINNED);
    }
    const PINNED: [u16; 8] = [2, 15, 12, 9, 6, 3, 0, 13];

    #[test]
    fn ids_of_other_installations_have_no_partition() {
        let four = PartitionCount::new(4).unwrap();
        assert_eq!(four.of_bid(BidId((9 << PARTITION_BITS) | 5)), None);
        assert_eq!(four.of_bid(BidId(3)), None, "sequence 0 is never given out");
        assert_eq!(four.of_bid(BidId(u64::MAX)), None);
        assert_eq!(PartitionCount::new(0), None);
        assert_eq!(PartitionCount::new(257), None);
    }
}
