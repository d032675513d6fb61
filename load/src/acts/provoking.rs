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
/// The largest id that a JavaScript client can hold; nothing has it.
const NOBODYS_ID: u64 = (1 << 53) - 1;
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

/// All of them, each a request of its own.
fn provocations(day: &Day, scene: &Scene, time: u32) -> Vec<Provocation> {
    let mut all = of_users(day, scene, time);
    all.extend(of_requests(scene));
    all.extend(of_charges(scene));
    all.extend(of_commands(scene).into_iter().map(|(code, kind, request)| {
        let key = format!("{}-{}-{kind}-{time}", day.names.tag(), code.name());
        Provocation { code, who: Who::Client, kind: Some(kind), request: request.keyed(key) }
    }));
    all
}

/// Refused at the door: it must never become a command.
fn door(code: ResultCode, who: Who, request: Request) -> Provocation {
    Provocation { code, who, kind: None, request }
}

fn of_users(day: &Day, scene: &Scene, time: u32) -> Vec<Provocation> {
    use Who::{Client, Nobody, Stranger};
    let client = &scene.client;
    let fresh = format!("{}p{time}", day.names.client(0));
    let points = || Request::get("/api/users/points");
    let wrong_password = json!({"loginId": client, "password": "wrong1password"});
    vec![
        door(ResultCode::LoginIdTaken, Nobody, sign_up(client, &fresh)),
        door(ResultCode::NicknameTaken, Nobody, sign_up(&fresh, client)),
        door(ResultCode::UserNotFound, Nobody, Request::post("/api/users/login", wrong_password)),
        door(ResultCode::InvalidToken, Stranger, points()),
        door(ResultCode::LoginRequired, Nobody, points()),
        door(ResultCode::Forbidden, Client, Request::get("/api/admin/refunds")),
    ]
}

fn of_requests(scene: &Scene) -> Vec<Provocation> {
    use Who::{Administrator, Client, Nobody};
    let Scene { product, product_name, .. } = scene;
    let path = format!("/api/buy/{product}");
    let named = |name: &str| {
        let texts = [("brand", "x"), ("name", name), ("description", "x"), ("price", "1")];
        Request::upload("/api/admin/products", texts.map(|(field, text)| (field, text.to_owned())).to_vec(), png(0))
    };
    let no_picture = Request::upload(format!("/api/sell/{product}"), priced(STINGY), b"GIF89a".to_vec());
    let large = json!({"loginId": "x".repeat(LARGE)});
    let text = Request::new(Method::POST, path.as_str(), Body::Text("1000".to_owned()));
    let nobodys_command = Request::get("/api/commands/00000000-0000-7000-8000-000000000000");
    vec![
        door(ResultCode::RefundNotFound, Administrator, Request::delete(format!("/api/admin/refund/{NOBODYS_ID}"))),
        door(ResultCode::ProductNotFound, Client, Request::post(format!("/api/buy/{NOBODYS_ID}"), json!({"price": 1}))),
        door(ResultCode::ProductNameTaken, Administrator, named(product_name)),
        door(ResultCode::PictureNotRecognised, Client, no_picture),
        door(ResultCode::InvalidInput, Client, Request::post(path.as_str(), json!({"price": -1}))),
        door(ResultCode::MethodNotAllowed, Client, Request::new(Method::PUT, "/api/users/points", Body::Nothing)),
        door(ResultCode::BodyTooLarge, Nobody, Request::post("/api/users/login", large)),
        door(ResultCode::UnsupportedMediaType, Client, text),
        door(ResultCode::PathNotFound, Nobody, Request::get("/api/nowhere")),
        door(ResultCode::CommandNotFound, Client, nobodys_command),
    ]
}

fn of_charges(scene: &Scene) -> Vec<Provocation> {
    let charge = |amount: i64, name: &str| {
        Request::post("/api/payments/toss/request", json!({"amount": amount, "orderName": name}))
    };
    let success = |order: &str, amount: i64| {
        Request::get(format!("/api/payments/toss/success?paymentKey=none&orderId={order}&amount={amount}"))
    };
    vec![
        door(ResultCode::UnsupportedOrder, Who::Client, charge(1_000, "COFFEE")),
        door(ResultCode::AmountNotPositive, Who::Client, charge(0, "CHARGE_POINT")),
        door(ResultCode::AmountTooSmall, Who::Client, charge(99, "CHARGE_POINT")),
        door(ResultCode::PaymentNotFound, Who::Client, success("no-such-order", 1_000)),
        door(ResultCode::AmountMismatch, Who::Client, success(&scene.order_id, 999)),
    ]
}

/// These become commands, and are refused by the rules.
fn of_commands(scene: &Scene) -> Vec<(ResultCode, Kind, Request)> {
    let Scene { product, others_bid, .. } = scene;
    let buy = |body| Request::post(format!("/api/buy/{product}"), body);
    let buy_now = Request::post(format!("/api/buy/{product}/now"), json!({"price": NOBODYS_PRICE}));
    let sell_now = Request::upload(format!("/api/sell/{product}/now"), priced(NOBODYS_PRICE), png(0));
    let refund = json!({"point": UNPAYABLE, "bank": "하나은행", "accountNumber": "110-1"});
    vec![
        (ResultCode::NotEnoughPoints, Kind::PlaceBuyBid, buy(json!({"price": UNPAYABLE}))),
        (ResultCode::CouponNotFound, Kind::PlaceBuyBid, buy(json!({"price": STINGY, "couponId": NOBODYS_ID}))),
        (ResultCode::NotEnoughPoints, Kind::RequestRefund, Request::post("/api/users/points/refunds", refund)),
        (ResultCode::SellBidNotFound, Kind::BuyNow, buy_now),
        (ResultCode::BuyBidNotFound, Kind::SellNow, sell_now),
        (ResultCode::Forbidden, Kind::CancelBid, Request::delete(format!("/api/buy/bid/{others_bid}"))),
        (ResultCode::SellBidNotFound, Kind::CancelBid, Request::delete(format!("/api/sell/bid/{others_bid}"))),
    ]
}

fn priced(price: i64) -> Vec<(&'static str, String)> {
    vec![("price", price.to_string())]
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
