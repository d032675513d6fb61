//! One client of the crowd: its login, its luck and what it knows, and how it does what it wants.

use crate::{
    charge::Trouble,
    day::Day,
    http::Request,
    mind::{Mind, OpenBid, Period},
    picture::png,
    plan::{self, Manner, Wish},
    session::{Ended, Session},
};
use contracts::{Kind, ResultCode, Side};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// Keeps the clients' luck apart: any large odd number will do.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A client.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) index: u32,
    pub(crate) session: Session,
    pub(crate) mind: Mind,
    rng: StdRng,
    requests: u64,
}

/// A command as it is sent, and something else that could be asked under the same key.
pub(crate) struct Errand {
    pub(crate) kind: Kind,
    pub(crate) request: Request,
    pub(crate) other: Option<Request>,
}

impl Person {
    pub(crate) fn new(index: u32, session: Session, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(SEED_STEP.wrapping_mul(u64::from(index) + 1)));
        let mind = Mind { points: plan::SIGN_UP_GIFT, ..Mind::default() };
        Self { index, session, mind, rng, requests: 0 }
    }

    /// Wants something, and does it.
    pub(crate) async fn act(&mut self, day: &Day) {
        let wish = plan::next(&mut self.rng, &self.mind, &day.assortment);
        let manner = plan::manner(&mut self.rng);
        match wish {
            Wish::Place { side, product, price, period } => {
                self.place(day, manner, side, product, price, period).await;
            }
            Wish::AtOnce { side, product, fallback } => self.at_once(day, manner, side, product, fallback).await,
            Wish::Cancel(bid) => self.cancel(day, manner, bid).await,
            Wish::Charge { amount } => {
                let trouble = Trouble::pick(self.rng.random_range(0..100));
                self.charge(day, manner, amount, trouble).await;
            }
            Wish::Refund { point } => self.refund(day, manner, point).await,
            Wish::LookAtPoints => {
                self.points(day).await;
            }
        }
    }

    /// Places a bid; gives its id when it stands.
    pub(crate) async fn place(
        &mut self,
        day: &Day,
        manner: Manner,
        side: Side,
        product: u64,
        price: i64,
        period: Period,
    ) -> Option<u64> {
        let errand = self.placing(day, side, product, price, period);
        let ended = self.send(day, manner, errand).await;
        let id = ended.done()?[match side {
            Side::Buy => "buyId",
            Side::Sell => "sellId",
        }]
        .as_u64()?;
        if side == Side::Buy {
            self.mind.points -= price;
        }
        self.mind.placed(OpenBid { id, side, period });
        Some(id)
    }

    /// An errand to offer at `price`.
    pub(crate) fn placing(&mut self, day: &Day, side: Side, product: u64, price: i64, period: Period) -> Errand {
        match side {
            Side::Buy => {
                let request = |price: i64| {
                    let mut body = json!({"price": price});
                    if let Some(days) = period.days() {
                        body["period"] = days.into();
                    }
                    Request::post(format!("/api/buy/{product}"), body)
                };
                Errand { kind: Kind::PlaceBuyBid, request: request(price), other: Some(request(price + 100)) }
            }
            Side::Sell => {
                let file = self.picture(day);
                let request = |price: i64| {
                    let mut fields = vec![("price", price.to_string())];
                    fields.extend(period.days().map(|days| ("period", days.to_string())));
                    Request::upload(format!("/api/sell/{product}"), fields, file.clone())
                };
                Errand { kind: Kind::PlaceSellBid, request: request(price), other: Some(request(price + 100)) }
            }
        }
    }

    /// Trades at the best price on offer, or places a bid when nothing is.
    async fn at_once(&mut self, day: &Day, manner: Manner, side: Side, product: u64, fallback: i64) {
        match self.best_price(day, side.opposite(), product).await {
            Some(price) => {
                let errand = self.trading(day, side, product, price);
                let ended = self.send(day, manner, errand).await;
                if let (Some(_), Side::Buy) = (ended.done(), side) {
                    self.mind.points -= price;
                }
            }
            None => {
                self.place(day, manner, side, product, fallback, Period::Short).await;
            }
        }
    }

    /// An errand to buy or sell at once at `price`.
    pub(crate) fn trading(&mut self, day: &Day, side: Side, product: u64, price: i64) -> Errand {
        match side {
            Side::Buy => {
                let request = |price: i64| Request::post(format!("/api/buy/{product}/now"), json!({"price": price}));
                Errand { kind: Kind::BuyNow, request: request(price), other: Some(request(price + 100)) }
            }
            Side::Sell => {
                let file = self.picture(day);
                let request = |price: i64| {
                    let fields = vec![("price", price.to_string())];
                    Request::upload(format!("/api/sell/{product}/now"), fields, file.clone())
                };
                Errand { kind: Kind::SellNow, request: request(price), other: Some(request(price + 100)) }
            }
        }
    }

    async fn best_price(&mut self, day: &Day, side: Side, product: u64) -> Option<i64> {
        let path = format!("/api/products/{product}/{}?size=1", side.as_str());
        let answer = self.session.ask(day, &Request::get(path)).await.ok()?;
        let field = match side {
            Side::Buy => "buyPrice",
            Side::Sell => "sellPrice",
        };
        answer.data[0][field].as_i64()
    }

    /// Takes a bid back. Somebody may have been faster.
    pub(crate) async fn cancel(&mut self, day: &Day, manner: Manner, bid: OpenBid) {
        let request = Request::delete(format!("/api/{}/bid/{}", bid.side.as_str(), bid.id));
        self.send(day, manner, Errand { kind: Kind::CancelBid, request, other: None }).await;
        self.mind.closed(bid.id);
    }

    async fn refund(&mut self, day: &Day, manner: Manner, point: i64) {
        let request = |point: i64| {
            let body =
                json!({"point": point, "bank": "하나은행", "accountNumber": format!("110-{:06}-01", self.index)});
            Request::post("/api/users/points/refunds", body)
        };
        let (request, other) = (request(point), Some(request(point + 500)));
        let ended = self.send(day, manner, Errand { kind: Kind::RequestRefund, request, other }).await;
        if ended.done().is_some() {
            self.mind.points -= point;
            self.mind.refundable -= point;
        }
    }

    /// Looks how many points there are.
    pub(crate) async fn points(&mut self, day: &Day) -> Option<i64> {
        let answer = self.session.ask(day, &Request::get("/api/users/points")).await.ok()?;
        let points = answer.data["point"].as_i64()?;
        self.mind.points = points;
        Some(points)
    }

    /// Sends a command in the given manner. Whatever is not a usual refusal is noted as a broken promise.
    pub(crate) async fn send(&mut self, day: &Day, manner: Manner, errand: Errand) -> Ended {
        let Errand { kind, mut request, other } = errand;
        if manner != Manner::Plain {
            request.key = Some(self.key(day));
        }
        request.respond_async = manner == Manner::Async;
        let ended = match manner {
            Manner::Twins => self.session.twins(day, kind, &request).await,
            _ => self.session.command(day, kind, &request).await,
        };
        // Whoever sent no key cannot send it again, and was told the truth.
        let was_disk_full =
            day.pulse.is_some() && manner == Manner::Plain && ended.is_refused(ResultCode::UploadFailed);
        if !was_disk_full {
            day.record.expect(kind.as_str(), ended.code, usual(kind));
        }
        if !ended.state.is_final() {
            return ended;
        }
        match (manner, other, &request.key) {
            (Manner::Twice, _, _) => self.session.again(day, kind, &request, &ended).await,
            (Manner::OtherBody, Some(other), Some(key)) if ended.id.is_some() => {
                self.session.other_body(day, kind, &other.keyed(key.clone())).await;
            }
            _ => {}
        }
        ended
    }

    /// A list of the caller's own.
    pub(crate) async fn list(&mut self, day: &Day, path: &str) -> Vec<Value> {
        match self.session.ask(day, &Request::get(path)).await {
            Ok(answer) => answer.data.as_array().cloned().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// A key that no other request carries.
    pub(crate) fn key(&mut self, day: &Day) -> String {
        self.requests += 1;
        format!("{}-{}-{}", day.names.tag(), self.index, self.requests)
    }

    /// A picture unlike any other: of this second's run, this client, this request.
    pub(crate) fn picture(&mut self, day: &Day) -> Vec<u8> {
        self.requests += 1;
        png(day.began_unix_s << 40 ^ u64::from(self.index) << 24 ^ self.requests)
    }
}

/// How a command may be answered on a usual day. 503 may come from whatever an operator is trying at the time.
fn usual(kind: Kind) -> &'static [ResultCode] {
    use ResultCode::{
        BuyBidNotFound, CommandExpired, DeadlinePassed, NotAccepted, NotEnoughPoints, Ok, RefundNotFound,
        SellBidNotFound, TooManyOpenBids, TossFailed,
    };
    match kind {
        Kind::PlaceBuyBid => &[Ok, NotEnoughPoints, TooManyOpenBids, CommandExpired, NotAccepted],
        Kind::PlaceSellBid => &[Ok, TooManyOpenBids, CommandExpired, NotAccepted],
        Kind::BuyNow => &[Ok, SellBidNotFound, NotEnoughPoints, CommandExpired, NotAccepted],
        Kind::SellNow => &[Ok, BuyBidNotFound, CommandExpired, NotAccepted],
        Kind::CancelBid => &[Ok, BuyBidNotFound, SellBidNotFound, DeadlinePassed, CommandExpired, NotAccepted],
        Kind::ConfirmCharge => &[Ok, TossFailed, NotAccepted],
        Kind::RequestRefund => &[Ok, NotEnoughPoints, NotAccepted],
        Kind::ApproveRefund | Kind::RejectRefund | Kind::ConfirmPayout | Kind::FailPayout => {
            &[Ok, RefundNotFound, NotAccepted]
        }
        Kind::ExpireBids | Kind::CancelCharge | Kind::FollowPayment | Kind::CollectDebt => &[],
    }
}
