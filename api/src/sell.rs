//! Selling: place, cancel, at once. The gifticon's picture is stored before the command is sent.

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::Shared,
    envelope::Failure,
    pictures::PictureFile,
    request::{PathId, Upload, upload::FILE},
};
use axum::{extract::State, response::Response};
use contracts::{BidId, Command, ResultCode, Side};
use domain::deadline::deadline;

/// `POST /api/sell/{productId}`.
pub(crate) async fn place(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    product: PathId,
    Upload { mut fields, file }: Upload,
) -> Result<Response, Failure> {
    let price = fields.price(&api.config.market);
    let period_days = fields.period_days(&api.config.market);
    let file = PictureFile::recognise(fields.valid_with(FILE, file)?)?;
    let product = api.product(product).await?;
    let picture = api.store_gifticon(&file).await?;
    let at = api.clock.now();
    let deadline = deadline(at, period_days);
    let command = Command::PlaceSellBid { product, price, period_days, deadline, picture };
    // From here on only the command is kept, not the file.
    drop(file);
    api.submit(&wishes, Ask { user: caller.user, at, identity: Identity::ByClient, command }).await
}

/// `POST /api/sell/{productId}/now`.
pub(crate) async fn now(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    product: PathId,
    Upload { mut fields, file }: Upload,
) -> Result<Response, Failure> {
    let price = fields.price(&api.config.market);
    let file = PictureFile::recognise(fields.valid_with(FILE, file)?)?;
    let product = api.product(product).await?;
    let picture = api.store_gifticon(&file).await?;
    drop(file);
    let command = Command::SellNow { product, price, picture };
    let ask = Ask { user: caller.user, at: api.clock.now(), identity: Identity::ByClient, command };
    api.submit(&wishes, ask).await
}

/// `DELETE /api/sell/bid/{sellId}`.
pub(crate) async fn cancel(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    bid: PathId,
) -> Result<Response, Failure> {
    let bid = BidId(bid.known().ok_or(ResultCode::SellBidNotFound)?);
    api.partitions.of_bid(bid).ok_or(ResultCode::SellBidNotFound)?;
    let command = Command::CancelBid { bid, side: Side::Sell };
    let ask = Ask { user: caller.user, at: api.clock.now(), identity: Identity::ByClient, command };
    api.submit(&wishes, ask).await
}
