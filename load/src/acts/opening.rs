//! Before the market opens: the administrator lists products, and the crowd signs up and logs in.

use crate::{
    LoadError,
    day::Day,
    http::{Http, Request},
    names::{Names, PASSWORD},
    person::Person,
    picture::png,
    plan::Assortment,
    session::{Login, Session, anonymous},
};
use contracts::ResultCode;
use futures_util::{StreamExt, stream};
use serde_json::json;

/// Sign-ups at once: each costs the API a password hash, of which it makes only a few at a time.
const SIGN_UPS_AT_ONCE: usize = 8;
/// The list of products ends here.
const MAX_PRODUCTS: u32 = 1_000;

/// Lists `count` products, most popular first.
pub(crate) async fn list_products(day: &Day, administrator: &mut Session, count: u32) -> Result<(), LoadError> {
    for index in 0..count.min(MAX_PRODUCTS) {
        let (brand, name) = day.names.product(index);
        let fields = vec![
            ("brand", brand),
            ("name", name),
            ("description", "market day".to_owned()),
            ("price", Assortment::usual_price(index).to_string()),
        ];
        let request = Request::upload("/api/admin/products", fields, png(u64::from(index)));
        let answer =
            administrator.ask(day, &request).await.map_err(|error| LoadError::Unreachable(error.to_string()))?;
        if answer.code != ResultCode::Ok.code() {
            return Err(LoadError::Opening(format!(
                "the administrator's product was answered {} {}; check that the login is an administrator's",
                answer.http, answer.code
            )));
        }
    }
    Ok(())
}

/// The products of this run, as the catalogue shows them: most popular first.
pub(crate) async fn assortment(http: &Http, names: &Names) -> Result<Assortment, LoadError> {
    let request = Request::get(format!("/api/products?name={}", names.tag()));
    let answer = http
        .send(&request, &crate::http::Tokens::default())
        .await
        .map_err(|error| LoadError::Unreachable(error.to_string()))?;
    let listed = answer.data.as_array().cloned().unwrap_or_default();
    let products = listed.iter().filter_map(|product| Some((product["id"].as_u64()?, product["price"].as_i64()?)));
    Ok(Assortment::new(products.collect()))
}

/// Signs `count` clients up and logs them in.
pub(crate) async fn gather(day: &Day, count: u32, seed: u64) -> Result<Vec<Person>, LoadError> {
    let joining = stream::iter(0..count).map(|index| join(day, index, seed)).buffer_unordered(SIGN_UPS_AT_ONCE);
    let people: Vec<Result<Person, LoadError>> = joining.collect().await;
    people.into_iter().collect()
}

async fn join(day: &Day, index: u32, seed: u64) -> Result<Person, LoadError> {
    let name = day.names.client(index);
    let unreachable = |error: crate::http::Unanswered| LoadError::Unreachable(error.to_string());
    let answer = anonymous(day, &sign_up(&name, &name)).await.map_err(unreachable)?;
    if answer.code != ResultCode::Ok.code() {
        return Err(LoadError::Opening(format!("the sign-up of {name} was answered {} {}", answer.http, answer.code)));
    }
    let login = Login { login_id: name, password: PASSWORD.to_owned() };
    let session = Session::open(day, login).await.map_err(unreachable)?;
    Ok(Person::new(index, session, seed))
}

/// A request to sign up.
pub(crate) fn sign_up(login_id: &str, nickname: &str) -> Request {
    let body = json!({"loginId": login_id, "nickname": nickname, "password": PASSWORD});
    Request::post("/api/users/signup", body)
}
