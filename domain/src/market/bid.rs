//! Bids and what comes of them, as stored.
//!
//! ```text
//!        a candidate met it
//! open ─────────────────────► traded
//!   │ ─────────────────────► cancelled   (its owner took it back)
//!   └─────────────────────► expired      (its deadline passed and somebody noticed)
//! ```

use crate::word::words;
use contracts::{BidId, CommandId, CouponId, GifticonId, OrderId, Picture, ProductId, Side, UnixMs, UserId, Won};

words! {
    /// Where a bid stands.
    BidState, "bid state", {
        /// In the book. Past its deadline it is open only in name: nobody may trade with it.
        Open = "open",
        /// It became an order.
        Traded = "traded",
        /// Its owner took it back.
        Cancelled = "cancelled",
        /// Its deadline passed.
        Expired = "expired",
    }
}

/// An offer to buy or sell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bid {
    /// Its id, and its priority among bids of the same price: the smaller, the older.
    pub id: BidId,
    /// Which side of the book.
    pub side: Side,
    /// What is bought or sold.
    pub product: ProductId,
    /// Whose it is.
    pub user: UserId,
    /// The most that a buyer pays, or the least that a seller takes.
    pub price: Won,
    /// A buyer's points set aside for it; zero for a sell bid.
    pub hold: Won,
    /// The coupon reserved with a buy bid.
    pub coupon: Option<CouponId>,
    /// The voucher that a sell bid offers.
    pub gifticon: Option<GifticonId>,
    /// Where it stands.
    pub state: BidState,
    /// When it was placed.
    pub placed_at: UnixMs,
    /// Exclusive end.
    pub deadline: UnixMs,
    /// When it left the book.
    pub closed_at: Option<UnixMs>,
    /// The command that placed it.
    pub command: CommandId,
}

/// A voucher, as offered once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gifticon {
    /// Its id.
    pub id: GifticonId,
    /// Who offered it. This stays the seller: orders say who bought.
    pub owner: UserId,
    /// What it can be exchanged for.
    pub product: ProductId,
    /// Its picture.
    pub picture: Picture,
    /// The bid that offers it; `None` when it was sold at once.
    pub bid: Option<BidId>,
    /// The command that brought it.
    pub command: CommandId,
    /// When.
    pub created_at: UnixMs,
}

/// A trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What was traded.
    pub product: ProductId,
    /// Who bought.
    pub buyer: UserId,
    /// Who sold.
    pub seller: UserId,
    /// The buyer's bid; `None` when bought at once.
    pub buy_bid: Option<BidId>,
    /// The seller's bid; `None` when sold at once.
    pub sell_bid: Option<BidId>,
    /// The voucher.
    pub gifticon: GifticonId,
    /// The buyer's coupon.
    pub coupon: Option<CouponId>,
    /// What the seller is paid for, before the fee.
    pub price: Won,
    /// What the buyer paid, after the coupon.
    pub final_price: Won,
    /// What the market kept.
    pub fee: Won,
    /// The command that completed the trade.
    pub command: CommandId,
    /// When.
    pub traded_at: UnixMs,
}
