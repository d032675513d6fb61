//! Buying: place, cancel, at once.

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::Shared,
    envelope::{Envelope, Failure},
    openapi::{
        answers::{BoughtNow, BuyBidCancelled, BuyBidPlaced},
        bodies,
    },
    request::{JsonBody, PathId},
};
use axum::{extract::State, response::Response};
use contracts::{BidId, Command, ResultCode, Side};
use domain::deadline::deadline;

/// Places a buy bid.
#[utoipa::path(
    post,
    path = "/api/buy/{id}",
    operation_id = "place_buy_bid",
    tag = "buying",
    params(("id" = u64, Path, description = "The product")),
    request_body = bodies::BuyBid,
    responses((status = 200, description = "It is open, or was traded at once", body = Envelope<BuyBidPlaced>)),
)]
pub(crate) async fn place(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    product: PathId,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Failure> {
    let price = fields.price(&api.config.market);
    let period_days = fields.period_days(&api.config.market);
    let coupon = fields.coupon();
    fields.valid()?;
    let product = api.product(product).await?;
    let at = api.clock.now();
    let deadline = deadline(at, period_days);
    let command = Command::PlaceBuyBid { product, price, period_days, deadline, coupon };
    api.submit(&wishes, Ask { user: caller.user, at, identity: Identity::ByClient, command }).await
}

/// Buys from the oldest open sell bid at exactly this price.
#[utoipa::path(
    post,
    path = "/api/buy/{id}/now",
    operation_id = "buy_now",
    tag = "buying",
    params(("id" = u64, Path, description = "The product")),
    request_body = bodies::BuyNow,
    responses((status = 200, description = "Bought", body = Envelope<BoughtNow>)),
)]
pub(crate) async fn now(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    product: PathId,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Failure> {
    let price = fields.price(&api.config.market);
    let coupon = fields.coupon();
    fields.valid()?;
    let product = api.product(product).await?;
    let command = Command::BuyNow { product, price, coupon };
    let ask = Ask { user: caller.user, at: api.clock.now(), identity: Identity::ByClient, command };
    api.submit(&wishes, ask).await
}

/// Takes a buy bid of the caller's back.
#[utoipa::path(
    delete,
    path = "/api/buy/bid/{id}",
    operation_id = "cancel_buy_bid",
    tag = "buying",
    params(("id" = u64, Path, description = "The bid")),
    responses((status = 200, description = "It is no more", body = Envelope<BuyBidCancelled>)),
)]
pub(crate) async fn cancel(
    State(api): State<Shared>,
    caller: Caller,
    wishes: Wishes,
    bid: PathId,
) -> Result<Response, Failure> {
    let bid = BidId(bid.known().ok_or(ResultCode::BuyBidNotFound)?);
    // An id that no partition of ours gives out needs no worker to be unknown.
    api.partitions.of_bid(bid).ok_or(ResultCode::BuyBidNotFound)?;
    let command = Command::CancelBid { bid, side: Side::Buy };
    let ask = Ask { user: caller.user, at: api.clock.now(), identity: Identity::ByClient, command };
    api.submit(&wishes, ask).await
}
