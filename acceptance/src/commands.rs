//! Commands as the API would send them.

use contracts::{BidId, Command, CommandId, Envelope, Picture, ProductId, Side, UnixMs, UserId, Won};

/// A week, in milliseconds.
pub const WEEK_MS: i64 = 7 * 86_400_000;

/// An envelope accepted now, valid for ten minutes.
pub fn envelope(key: &str, user: UserId, now: UnixMs, command: Command) -> Envelope {
    Envelope::new(CommandId::derived(user, "test", key), user, now, Some(now.plus_ms(600_000)), command)
}

pub fn buy(key: &str, user: UserId, product: ProductId, price: i64, now: UnixMs) -> Envelope {
    let command = Command::PlaceBuyBid {
        product,
        price: Won(price),
        period_days: 7,
        deadline: now.plus_ms(WEEK_MS),
        coupon: None,
    };
    envelope(key, user, now, command)
}

pub fn sell(key: &str, user: UserId, product: ProductId, price: i64, now: UnixMs) -> Envelope {
    let command = Command::PlaceSellBid {
        product,
        price: Won(price),
        period_days: 7,
        deadline: now.plus_ms(WEEK_MS),
        picture: picture(key),
    };
    envelope(key, user, now, command)
}

pub fn cancel(key: &str, user: UserId, bid: u64, side: Side, now: UnixMs) -> Envelope {
    envelope(key, user, now, Command::CancelBid { bid: BidId(bid), side })
}

/// A picture that no store holds: the bid worker never opens it.
pub fn picture(key: &str) -> Picture {
    let bytes: Vec<u8> = key.bytes().chain(std::iter::repeat(7)).take(32).collect();
    let sha256 = bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Picture { key: format!("test/{sha256}"), sha256, ..Picture::default() }
}
