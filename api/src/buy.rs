//! Buying: place, cancel, at once.

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::Shared,
    envelope::Failure,
    request::{JsonBody, PathId},
};
use axum::{extract::State, response::Response};
use contracts::{BidId, Command, ResultCode, Side};
use domain::deadline::deadline;

/// `POST /api/buy/{productId}`.
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

/// `POST /api/buy/{productId}/now`.
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

/// `DELETE /api/buy/bid/{buyId}`.
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
