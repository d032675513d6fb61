//! Every refusal that a client can provoke, often enough: a request a line, with the code that it must be answered.

use super::opening::sign_up;
use crate::{
    charge::Trouble,
    day::Day,
    http::{Body, Request, Tokens},
    mind::Period,
    person::Person,
    picture::png,
    plan::Manner,
    session::Session,
};
use contracts::{Kind, ResultCode, Side};
use reqwest::Method;
use serde_json::json;

/// How often each is provoked.
pub(crate) const TIMES: u32 = 6;
/// No bid has this price.
const NOBODYS_PRICE: i64 = 99_999_900;
/// Nobody has so many points.
const UNPAYABLE: i64 = 100_000_000;
/// Nobody sells for so little, so a bid at this price stays open.
const STINGY: i64 = 100;
/// More open bids on one product than anybody may have.
const FAR_TOO_MANY_BIDS: u32 = 200;
/// Past the largest body that the API reads.
const LARGE: usize = 100_000;

/// Who asks.
#[derive(Clone, Copy)]
enum Who {
    Nobody,
    /// Somebody whose token was never ours.
    Stranger,
    Client,
    Administrator,
}

/// One request and the code it must be answered with.
struct Provocation {
    code: ResultCode,
    who: Who,
    /// `None`: it must never become a command.
    kind: Option<Kind>,
    request: Request,
}

/// What the requests speak about.
struct Scene {
    client: String,
    product: u64,
    product_name: String,
    others_bid: u64,
    order_id: String,
}

/// Provokes all that needs no moved clock.
pub(crate) async fn provoke(day: &Day, administrator: &mut Session, people: &mut [Person]) {
    let [client, other, rest @ ..] = people else { return };
    let Some(scene) = scene(day, client, other).await else {
        day.record.broken("the scene for refusals could not be set");
        return;
    };
    for time in 0..TIMES {
        for provocation in provocations(day, &scene, time) {
            face(day, administrator, client, provocation).await;
        }
        client.charge(day, Manner::Keyed, 1_000, Trouble::Refused).await;
    }
    if let Some(person) = rest.first_mut() {
        place_too_many(day, person, scene.product).await;
    }
}

async fn scene(day: &Day, client: &mut Person, other: &mut Person) -> Option<Scene> {
    let index = u32::try_from(day.assortment.ids().count()).ok()?.checked_sub(1)?;
    let product = day.assortment.ids().last()?;
    let others_bid = other.place(day, Manner::Keyed, Side::Buy, product, STINGY, Period::Default).await?;
    let order_id = client.request_charge(day, 1_000).await?;
    let (_, product_name) = day.names.product(index);
    Some(Scene { client: day.names.client(client.index), product, product_name, others_bid, order_id })
}

fn provocations(day: &Day, scene: &Scene, time: u32) -> Vec<Provocation> {
    use ResultCode as Code;
    use Who::{Administrator, Client, Nobody, Stranger};
    let Scene { client, product, product_name, others_bid, order_id } = scene;
    let door = |code, who, request| Provocation { code, who, kind: None, request };
    // Each is a request of its own: its code and kind tell its key from the others'.
    let command = |code: ResultCode, kind: Kind, request: Request| {
        let key = format!("{}-{}-{kind}-{time}", day.names.tag(), code.name());
        Provocation { code, who: Who::Client, kind: Some(kind), request: request.keyed(key) }
    };
    let fresh = format!("{}p{time}", day.names.client(0));
    let points = || Request::get("/api/users/points");
    let buy = |price: i64| Request::post(format!("/api/buy/{product}"), json!({"price": price}));
    let charge = |amount: i64, name: &str| {
        Request::post("/api/payments/toss/request", json!({"amount": amount, "orderName": name}))
    };
    let success = |order: &str, amount: i64| {
        Request::get(format!("/api/payments/toss/success?paymentKey=none&orderId={order}&amount={amount}"))
    };
    let priced = |price: i64| vec![("price", price.to_string())];
    let product_again = vec![
        ("brand", "x".to_owned()),
        ("name", product_name.clone()),
        ("description", "x".to_owned()),
        ("price", "1".to_owned()),
    ];
    let with_coupon = json!({"price": STINGY, "couponId": 9_007_199_254_740_991_u64});
    let too_much = json!({"point": UNPAYABLE, "bank": "하나은행", "accountNumber": "110-1"});
    let nobodys_command = "/api/commands/00000000-0000-7000-8000-000000000000";
    let wrong_password = json!({"loginId": client, "password": "wrong1password"});
    vec![
        door(Code::LoginIdTaken, Nobody, sign_up(client, &fresh)),
        door(Code::NicknameTaken, Nobody, sign_up(&fresh, client)),
        door(Code::UserNotFound, Nobody, Request::post("/api/users/login", wrong_password)),
        door(Code::InvalidToken, Stranger, points()),
        door(Code::LoginRequired, Nobody, points()),
        door(Code::RefundNotFound, Administrator, Request::delete("/api/admin/refund/9007199254740991")),
        door(Code::ProductNotFound, Client, Request::post("/api/buy/9007199254740991", json!({"price": 1_000}))),
        door(Code::ProductNameTaken, Administrator, Request::upload("/api/admin/products", product_again, png(0))),
        door(
            Code::PictureNotRecognised,
            Client,
            Request::upload(format!("/api/sell/{product}"), priced(1_000), b"GIF89a".to_vec()),
        ),
        door(Code::Forbidden, Client, Request::get("/api/admin/refunds")),
        door(Code::InvalidInput, Client, buy(-1)),
        door(Code::MethodNotAllowed, Client, Request::new(Method::PUT, "/api/users/points", Body::Nothing)),
        door(Code::BodyTooLarge, Nobody, Request::post("/api/users/login", json!({"loginId": "x".repeat(LARGE)}))),
        door(
            Code::UnsupportedMediaType,
            Client,
            Request::new(Method::POST, format!("/api/buy/{product}"), Body::Text("1000".into())),
        ),
        door(Code::PathNotFound, Nobody, Request::get("/api/nowhere")),
        door(Code::CommandNotFound, Client, Request::get(nobodys_command)),
        door(Code::UnsupportedOrder, Client, charge(1_000, "COFFEE")),
        door(Code::AmountNotPositive, Client, charge(0, "CHARGE_POINT")),
        door(Code::AmountTooSmall, Client, charge(99, "CHARGE_POINT")),
        door(Code::PaymentNotFound, Client, success("no-such-order", 1_000)),
        door(Code::AmountMismatch, Client, success(order_id, 999)),
        command(Code::NotEnoughPoints, Kind::PlaceBuyBid, buy(UNPAYABLE)),
        command(Code::NotEnoughPoints, Kind::RequestRefund, Request::post("/api/users/points/refunds", too_much)),
        command(
            Code::SellBidNotFound,
            Kind::BuyNow,
            Request::post(format!("/api/buy/{product}/now"), json!({"price": NOBODYS_PRICE})),
        ),
        command(
            Code::BuyBidNotFound,
            Kind::SellNow,
            Request::upload(format!("/api/sell/{product}/now"), priced(NOBODYS_PRICE), png(time.into())),
        ),
        command(Code::Forbidden, Kind::CancelBid, Request::delete(format!("/api/buy/bid/{others_bid}"))),
        command(Code::SellBidNotFound, Kind::CancelBid, Request::delete(format!("/api/sell/bid/{others_bid}"))),
        command(Code::CouponNotFound, Kind::PlaceBuyBid, Request::post(format!("/api/buy/{product}"), with_coupon)),
    ]
}

async fn face(day: &Day, administrator: &mut Session, client: &mut Person, provocation: Provocation) {
    let Provocation { code, who, kind, request } = provocation;
    let what = format!("{} {}", request.method, request.path);
    if let Some(kind) = kind {
        let ended = client.session.command(day, kind, &request).await;
        day.record.expect(&what, ended.code, &[code]);
        return;
    }
    let strange = Tokens { access: Some("Bearer no.such.token".to_owned()), refresh: None };
    let answer = match who {
        Who::Nobody => day.http.send(&request, &Tokens::default()).await,
        Who::Stranger => day.http.send(&request, &strange).await,
        Who::Client => client.session.ask(day, &request).await,
        Who::Administrator => administrator.ask(day, &request).await,
    };
    match answer {
        Ok(answer) => {
            day.record.refused(answer.code);
            day.record.expect(&what, answer.code, &[code]);
            if answer.command.is_some() {
                day.record.broken(format!("{what} was refused, and became a command nevertheless"));
            }
        }
        Err(error) => day.record.broken(format!("{what} got no answer: {error}")),
    }
}

/// Places bids until the cap refuses them.
async fn place_too_many(day: &Day, person: &mut Person, product: u64) {
    let mut refused = 0;
    for _ in 0..FAR_TOO_MANY_BIDS {
        let errand = person.placing(day, Side::Buy, product, STINGY, Period::Default);
        let ended = person.send(day, Manner::Keyed, errand).await;
        if ended.is_refused(ResultCode::TooManyOpenBids) {
            refused += 1;
        }
        if refused == TIMES {
            return;
        }
    }
    day.record.broken(format!("after {FAR_TOO_MANY_BIDS} bids on one product the cap refused {refused}"));
}
