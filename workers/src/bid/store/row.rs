//! From rows to values of the domain.

use contracts::{
    BarcodeHash, BidId, CommandId, CommandState, CouponId, Fingerprint, GifticonId, Outcome, ProductId, ResultCode,
    Side, UnixMs, UserId, Won,
};
use domain::market::{Bid, BidState, Claim, Coupon, Discount};
use sqlx::{Row, mysql::MySqlRow};

/// The columns of [`bid`], in order.
pub(super) const BID_COLUMNS: &str = "bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, placed_at_ms, deadline_ms, command_id";

/// A value that no version of ours writes.
pub(super) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn broken(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

pub(super) fn id(row: &MySqlRow, column: usize) -> Result<u64, sqlx::Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(invalid)
}

fn optional_id(row: &MySqlRow, column: usize) -> Result<Option<u64>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(column)?.map(|id| u64::try_from(id).map_err(invalid)).transpose()
}

fn command_id(row: &MySqlRow, column: usize) -> Result<CommandId, sqlx::Error> {
    CommandId::from_slice(row.try_get(column)?).ok_or_else(|| broken("a command id is 16 bytes"))
}

/// A bid, from [`BID_COLUMNS`].
pub(super) fn bid(row: &MySqlRow) -> Result<Bid, sqlx::Error> {
    let side: &str = row.try_get(1)?;
    let state: &str = row.try_get(8)?;
    Ok(Bid {
        id: BidId(id(row, 0)?),
        side: if side == Side::Buy.as_str() { Side::Buy } else { Side::Sell },
        product: ProductId(id(row, 2)?),
        user: UserId(id(row, 3)?),
        price: Won(row.try_get(4)?),
        hold: Won(row.try_get(5)?),
        coupon: optional_id(row, 6)?.map(CouponId),
        gifticon: optional_id(row, 7)?.map(GifticonId),
        state: state.parse::<BidState>().map_err(invalid)?,
        placed_at: UnixMs(row.try_get(9)?),
        deadline: UnixMs(row.try_get(10)?),
        closed_at: None,
        command: command_id(row, 11)?,
    })
}

/// A claim, from `barcode_hash, gifticon_id, bid_id, state`. One whose voucher or bid is missing counts.
pub(super) fn claim(row: &MySqlRow) -> Result<(BarcodeHash, Claim), sqlx::Error> {
    let state = row.try_get::<Option<&str>, _>(3)?.map(str::parse).transpose().map_err(invalid)?;
    let claim = Claim {
        gifticon: GifticonId(id(row, 1)?),
        bid: optional_id(row, 2)?.map(BidId),
        released: matches!(state, Some(BidState::Cancelled | BidState::Expired)),
    };
    Ok((barcode(row, 0)?, claim))
}

pub(super) fn barcode(row: &MySqlRow, column: usize) -> Result<BarcodeHash, sqlx::Error> {
    let bytes = row.try_get::<&[u8], _>(column)?;
    bytes.try_into().map(BarcodeHash).map_err(|_| broken("a barcode's hash is 32 bytes"))
}

/// A coupon, from `coupon_id, user_id, discount_type, discount, state`.
pub(super) fn coupon(row: &MySqlRow) -> Result<Coupon, sqlx::Error> {
    let (discount_type, state): (&str, &str) = (row.try_get(2)?, row.try_get(4)?);
    let amount: i64 = row.try_get(3)?;
    let discount = match discount_type {
        "RATE" => Discount::Rate(u32::try_from(amount).map_err(invalid)?),
        _ => Discount::Fix(Won(amount)),
    };
    Ok(Coupon {
        id: CouponId(id(row, 0)?),
        user: UserId(id(row, 1)?),
        discount,
        state: state.parse().map_err(invalid)?,
    })
}

/// What the inbox knows of a command.
pub(super) struct Known {
    pub(super) id: CommandId,
    /// Its outcome, once it has ended.
    pub(super) outcome: Option<Outcome>,
}

/// From `command_id, fingerprint, state, result_code, data, updated_at_ms`.
pub(super) fn known_command(row: &MySqlRow) -> Result<Known, sqlx::Error> {
    let id = command_id(row, 0)?;
    let state: CommandState = row.try_get::<&str, _>(2)?.parse().map_err(invalid)?;
    if !state.is_final() {
        return Ok(Known { id, outcome: None });
    }
    let fingerprint: [u8; 32] =
        row.try_get::<&[u8], _>(1)?.try_into().map_err(|_| broken("a fingerprint is 32 bytes"))?;
    let code = u32::try_from(row.try_get::<i32, _>(3)?).map_err(invalid)?;
    let outcome = Outcome {
        id,
        fingerprint: Fingerprint(fingerprint),
        state,
        code: ResultCode::from_code(code).ok_or_else(|| broken("an unknown result code: upgrade this worker"))?,
        data: serde_json::from_str(row.try_get(4)?).map_err(invalid)?,
        finished_at: UnixMs(row.try_get(5)?),
    };
    Ok(Known { id, outcome: Some(outcome) })
}
