//! What a client knows of its own affairs, from the answers it got. May be out of date: others trade with its bids.

use contracts::Side;

/// Bids remembered by one client; the oldest are forgotten first.
const MAX_REMEMBERED: usize = 60;

/// How long a bid is to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    /// One day: it ends with the next night.
    Short,
    /// The contract's default of seven days, by not naming one.
    Default,
}

impl Period {
    /// As in the request; nothing for the default.
    pub(crate) fn days(self) -> Option<u32> {
        match self {
            Period::Short => Some(1),
            Period::Default => None,
        }
    }
}

/// A bid that was open when the client last heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenBid {
    pub(crate) id: u64,
    pub(crate) side: Side,
    pub(crate) period: Period,
}

/// What a client knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mind {
    /// Points that may be spent, as of the last look less what was bid since.
    pub(crate) points: i64,
    /// Bids thought to be open, oldest first.
    pub(crate) bids: Vec<OpenBid>,
    /// Charged so far, less what was asked back.
    pub(crate) refundable: i64,
}

impl Mind {
    /// A bid was placed.
    pub(crate) fn placed(&mut self, bid: OpenBid) {
        if self.bids.len() == MAX_REMEMBERED {
            self.bids.remove(0);
        }
        self.bids.push(bid);
    }

    /// A bid is known to be closed.
    pub(crate) fn closed(&mut self, id: u64) {
        self.bids.retain(|bid| bid.id != id);
    }

    /// A night passed: short bids are over. Gives their ids.
    pub(crate) fn forget_short(&mut self) -> Vec<OpenBid> {
        let (short, lasting) = self.bids.drain(..).partition(|bid| bid.period == Period::Short);
        self.bids = lasting;
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_nights_end_short_bids() {
        let mut mind = Mind::default();
        for id in 0..100 {
            let period = if id % 2 == 0 { Period::Short } else { Period::Default };
            mind.placed(OpenBid { id, side: Side::Buy, period });
        }
        assert_eq!((mind.bids.len(), mind.bids[0].id), (MAX_REMEMBERED, 40));
        mind.closed(99);
        assert_eq!(mind.forget_short().len(), 30);
        assert!(mind.bids.iter().all(|bid| bid.period == Period::Default));
        assert_eq!(mind.bids.len(), 29);
    }
}
