//! Selling: place, cancel, at once. The gifticon's picture is stored before the command is sent.

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::Shared,
    envelope::{Envelope, Failure},
    openapi::{
        answers::{SellBidCancelled, SellBidPlaced, SoldNow},
        bodies,
    },
    pictures::PictureFile,
    request::{PathId, Upload, upload::FILE},
};
use axum::{extract::State, response::Response};
use contracts::{BidId, Command, ResultCode, Side};
use domain::deadline::deadline;

/// Places a sell bid.
#[utoipa::path(
    post,
    path = "/api/sell/{id}",
    operation_id = "place_sell_bid",
    tag = "selling",
    params(("id" = u64, Path, description = "The product")),
    request_body(content = bodies::SellBid, content_type = "multipart/form-data"),
    responses((status = 200, description = "It is open, or was traded at once", body = Envelope<SellBidPlaced>)),
)]
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

/// Sells to the oldest open buy bid at exactly this price.
#[utoipa::path(
    post,
    path = "/api/sell/{id}/now",
    operation_id = "sell_now",
    tag = "selling",
    params(("id" = u64, Path, description = "The product")),
    request_body(content = bodies::SellNow, content_type = "multipart/form-data"),
    responses((status = 200, description = "Sold", body = Envelope<SoldNow>)),
)]
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

/// Takes a sell bid of the caller's back.
#[utoipa::path(
    delete,
    path = "/api/sell/bid/{id}",
    operation_id = "cancel_sell_bid",
    tag = "selling",
    params(("id" = u64, Path, description = "The bid")),
    responses((status = 200, description = "It is no more", body = Envelope<SellBidCancelled>)),
)]
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
