//! Which voucher is on offer or sold, by its barcode: the same one is never offered twice, under whatever product.
//!
//! A claim counts while its offer is open or was traded. It is not taken back when the bid is cancelled or expires: both
//! are final, so whoever offers the voucher next sees that it is free and passes the claim on to the new offer. Closing
//! a bid thus costs nothing here, and a batch without barcodes costs nothing at all.
//! Doesn't: know vouchers whose barcode nobody could read.

use super::{
    bid::{Bid, BidState},
    state::{Market, Turn},
};
use contracts::{BarcodeHash, BidId, GifticonId, Picture, ResultCode};

/// Who offered the voucher with a barcode last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The voucher, as it was offered.
    pub gifticon: GifticonId,
    /// The bid that offers it; `None` when it was sold at once, and so for ever.
    pub bid: Option<BidId>,
    /// Whether that bid was cancelled or had expired when it was loaded.
    pub released: bool,
}

impl Market {
    /// Refuses a voucher that has ended, or that somebody offers or sold already.
    pub(super) fn check_voucher(&self, turn: &Turn, picture: &Picture) -> Result<(), ResultCode> {
        if picture.expires_at.is_some_and(|end| end <= turn.at) {
            return Err(ResultCode::GifticonExpired);
        }
        if picture.barcode.is_some_and(|barcode| self.is_claimed(barcode)) {
            return Err(ResultCode::GifticonAlreadyOffered);
        }
        Ok(())
    }

    pub(super) fn claim(&mut self, picture: &Picture, gifticon: GifticonId, bid: Option<BidId>) {
        if let Some(barcode) = picture.barcode {
            self.claims.insert(barcode, Claim { gifticon, bid, released: false });
        }
    }

    /// A bid that is known here may have been closed by an earlier command of the batch.
    fn is_claimed(&self, barcode: BarcodeHash) -> bool {
        self.claims.get(&barcode).is_some_and(|claim| {
            let bid = claim.bid.and_then(|bid| self.bids.get(&bid));
            bid.map_or(!claim.released, counts)
        })
    }
}

fn counts(bid: &Bid) -> bool {
    matches!(bid.state, BidState::Open | BidState::Traded)
}
