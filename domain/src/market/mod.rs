//! The market: bids, trades, and what they do to points and coupons.
//!
//! ```text
//! envelopes ─► Needs ─► (SQL) ─► Loaded ─► Market ─► carry_out … carry_out ─► Changes ─► (SQL)
//!                ▲                                       │
//!                └──────── widen ◄── WindowTooShort ◄────┘ the market is thrown away, the batch begins again
//! ```
//! Promises: the outcome of a command depends on the commands before it, never on how they were cut into batches or
//! on how much of the book was loaded: a candidate that the loaded windows do not cover is never traded with.
//! Each bid holds exactly the points that its release or trade will move. Nobody trades with themself. A voucher whose
//! barcode is known is not on offer twice.
//! Doesn't: know which commands were carried out before (the inbox does), or who may send what (the API does).

mod bid;
mod book;
mod cancel;
mod changes;
mod claim;
mod decision;
mod expire;
mod instant;
mod loaded;
mod needs;
mod place;
mod settle;
mod state;
mod trade;

pub use crate::{
    coupon::{Coupon, CouponEntry, CouponState, CouponStep, Discount},
    ledger::{Balance, Transfer},
};
pub use bid::{Bid, BidState, Gifticon, Order};
pub use changes::Changes;
pub use claim::Claim;
pub use decision::{Decision, Missing, Undecided};
pub use loaded::{Loaded, Progress};
pub use needs::{Limits, Needs, Window, WindowKey, WindowNeed};
pub use state::Market;
