//! Selling: place, cancel, at once. The gifticon's picture is looked into and stored before the command is sent.

use crate::{
    auth::Caller,
    commands::{Ask, Identity, Wishes},
    context::{Api, Shared},
    envelope::{Envelope, Failure},
    openapi::{
        answers::{SellBidCancelled, SellBidPlaced, SoldNow},
        bodies,
    },
    pictures::LookFor,
    request::{File, PathId, Upload, upload::FILE},
};
use axum::{extract::State, response::Response};
use contracts::{BidId, Command, CommandId, Kind, Picture, ResultCode, Side, UnixMs};
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
    let expires_at = fields.expires_on();
    let file = fields.valid_with(FILE, file)?;
    let product = api.product(product).await?;
    let at = api.clock.now();
    let id = wishes.command_id(caller.user, Kind::PlaceSellBid, at);
    let picture = api.take_in(file, expires_at, id).await?;
    // A bid does not outlive what it offers. What is over already is refused for that, not for its deadline.
    let deadline = deadline(at, period_days).min(expires_at.filter(|end| *end > at).unwrap_or(UnixMs(i64::MAX)));
    let command = Command::PlaceSellBid { product, price, period_days, deadline, picture };
    api.submit(&wishes, Ask { user: caller.user, at, identity: Identity::Known(id), command }).await
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
    let expires_at = fields.expires_on();
    let file = fields.valid_with(FILE, file)?;
    let product = api.product(product).await?;
    let at = api.clock.now();
    let id = wishes.command_id(caller.user, Kind::SellNow, at);
    let picture = api.take_in(file, expires_at, id).await?;
    let command = Command::SellNow { product, price, picture };
    api.submit(&wishes, Ask { user: caller.user, at, identity: Identity::Known(id), command }).await
}

impl Api {
    /// Looks into the gifticon that a command offers, and stores its picture. Afterwards the file is not kept. Whether the
    /// gifticon is past its end is the rules' to say: a retry that comes after it may be of a command that was before it.
    async fn take_in(&self, file: File, expires_at: Option<UnixMs>, command: CommandId) -> Result<Picture, Failure> {
        let looked_into = self.intake.look(file, LookFor::Barcode).await.map_err(|failure| failure.of(command))?;
        Ok(Picture { expires_at, ..self.store_gifticon(looked_into, command).await? })
    }
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
