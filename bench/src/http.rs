//! Requests as bytes, and sending them: as fast as the answers come, or when they are meant to be sent.

use crate::{Failure, market::session, orders::Ask, statistics::per_second, wire::Wire};
use contracts::{Command, Side, UnixMs};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// Where multipart bodies are cut.
const BOUNDARY: &str = "bench-4f1c9d";
/// A token's life.
const TOKEN_S: i64 = 3_000;

/// Access tokens of some users, made here: a login would cost an Argon2 hash each.
pub(crate) struct Tokens(BTreeMap<u64, String>);

impl Tokens {
    pub(crate) fn sign(secret: &str, users: RangeInclusive<u64>, now: UnixMs) -> Result<Self, Failure> {
        let (key, at) = (EncodingKey::from_secret(secret.as_bytes()), now.0 / 1000);
        let token = |user: u64| {
            let claims = json!({"sub": format!("u{user}"), "uid": user, "sid": session(user), "kind": "access",
                                "iat": at, "exp": at + TOKEN_S});
            Ok((user, encode(&Header::new(Algorithm::HS256), &claims, &key)?))
        };
        users.map(token).collect::<Result<_, Failure>>().map(Self)
    }

    pub(crate) fn of(&self, user: u64) -> Result<&str, Failure> {
        Ok(self.0.get(&user).ok_or("a user without a token")?)
    }
}

/// Whether the client waits for its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Outcome,
    Accepted,
}

/// The request of each ask.
pub(crate) fn requests(asks: Vec<Ask>, host: &str, tokens: &Tokens, wait: Wait) -> Result<Vec<Vec<u8>>, Failure> {
    asks.into_iter()
        .enumerate()
        .map(|(n, ask)| {
            let token = tokens.of(ask.user)?;
            let prefer = if wait == Wait::Accepted { "Prefer: respond-async\r\n" } else { "" };
            let (line, kind, body) = parts(&ask.command, n as u64)?;
            let mut request = format!(
                "{line} HTTP/1.1\r\nHost: {host}\r\nAccess-Token: {token}\r\n{prefer}{kind}Content-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            request.extend(body);
            Ok(request)
        })
        .collect()
}

/// The same requests, each with an `Idempotency-Key` of its own: they may be sent again.
pub(crate) fn keyed(requests: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let keyed = |(n, request): (usize, Vec<u8>)| {
        let Some(line) = request.windows(2).position(|two| two == b"\r\n") else { return request };
        let key = format!("\r\nIdempotency-Key: burst-{n}");
        [&request[..line], key.as_bytes(), &request[line..]].concat()
    };
    requests.into_iter().enumerate().map(keyed).collect()
}

/// Request line, type of the body, body.
fn parts(command: &Command, number: u64) -> Result<(String, String, Vec<u8>), Failure> {
    let json_type = "Content-Type: application/json\r\n".to_owned();
    Ok(match command {
        Command::PlaceBuyBid { product, price, period_days, .. } => {
            let body = json!({"price": price, "period": period_days}).to_string();
            (format!("POST /api/buy/{product}"), json_type, body.into_bytes())
        }
        Command::BuyNow { product, price, .. } => {
            (format!("POST /api/buy/{product}/now"), json_type, json!({"price": price}).to_string().into_bytes())
        }
        Command::PlaceSellBid { product, price, period_days, .. } => {
            let fields = [("price", price.to_string()), ("period", period_days.to_string())];
            let kind = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
            (format!("POST /api/sell/{product}"), kind, upload(&fields, &load::picture::png(number)))
        }
        Command::CancelBid { bid, side } => {
            let side = if *side == Side::Buy { "buy" } else { "sell" };
            (format!("DELETE /api/{side}/bid/{bid}"), String::new(), Vec::new())
        }
        other => return Err(format!("no request for a {}", other.kind()).into()),
    })
}

fn upload(fields: &[(&str, String)], file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"gifticon.png\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    body.extend(head.into_bytes());
    body.extend_from_slice(file);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    body
}

/// A read, by whoever has this token.
pub(crate) fn read(host: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let token = token.map_or(String::new(), |token| format!("Access-Token: {token}\r\n"));
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{token}\r\n").into_bytes()
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) took: Duration,
    /// From the intended moment of sending to the answer, sorted.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) by_status: BTreeMap<u16, usize>,
}

impl Answers {
    pub(crate) fn per_s(&self) -> f64 {
        per_second(self.latencies.len(), self.took)
    }

    /// How many had this status.
    pub(crate) fn with(&self, wanted: impl Fn(u16) -> bool) -> usize {
        self.by_status.iter().filter(|(status, _)| wanted(**status)).map(|(_, times)| times).sum()
    }
}

/// When requests are sent.
pub(crate) enum Rhythm {
    /// As soon as a connection is free.
    Eager,
    /// At these times since the beginning.
    At(Vec<Duration>),
}

/// Sends all of `requests` over `connections` keep-alive connections.
pub(crate) async fn send(
    address: &str,
    connections: usize,
    requests: Vec<Vec<u8>>,
    rhythm: Rhythm,
) -> Result<Answers, Failure> {
    let mut wires = Vec::with_capacity(connections);
    for _ in 0..connections {
        wires.push(Wire::connect(address).await?);
    }
    let work = Arc::new((AtomicUsize::new(0), requests, rhythm));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut wire in wires {
        let work = work.clone();
        tasks.spawn(async move {
            let (next, requests, rhythm) = &*work;
            let mut seen = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(n) else { return Ok::<_, Failure>(seen) };
                let meant = match rhythm {
                    Rhythm::Eager => Instant::now(),
                    Rhythm::At(times) => began + times[n],
                };
                tokio::time::sleep_until(meant).await;
                let status = wire.ask(request).await?.status;
                seen.push((status, meant.elapsed()));
            }
        });
    }
    let mut answers = Answers::default();
    while let Some(seen) = tasks.join_next().await {
        for (status, latency) in seen?? {
            answers.latencies.push(latency);
            *answers.by_status.entry(status).or_default() += 1;
        }
    }
    answers.took = began.elapsed();
    answers.latencies.sort_unstable();
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{BidId, CouponId, Picture, ProductId, Won};

    const NO_COUPON: Option<CouponId> = None;

    fn request(command: Command, wait: Wait) -> String {
        let tokens = Tokens::sign("0123456789abcdef0123456789abcdef", 7..=7, UnixMs(1_700_000_000_000)).unwrap();
        let requests = requests(vec![Ask { user: 7, command }], "here", &tokens, wait).unwrap();
        String::from_utf8_lossy(&requests[0]).into_owned()
    }

    #[test]
    fn a_request_says_who_asks_and_how_long_it_is() {
        let command = Command::BuyNow { product: ProductId(3), price: Won(500), coupon: NO_COUPON };
        let text = request(command, Wait::Accepted);
        assert!(text.starts_with("POST /api/buy/3/now HTTP/1.1\r\nHost: here\r\nAccess-Token: ey"), "{text}");
        assert!(text.contains("Prefer: respond-async\r\n"));
        assert!(text.ends_with("Content-Length: 13\r\n\r\n{\"price\":500}"), "{text}");
    }

    #[test]
    fn a_sell_bid_carries_its_picture_and_a_cancel_nothing() {
        let picture = Picture::default();
        let (product, price, deadline) = (ProductId(3), Won(500), UnixMs(0));
        let sell = Command::PlaceSellBid { product, price, period_days: 7, deadline, picture };
        let text = request(sell, Wait::Outcome);
        assert!(text.contains("boundary=bench-4f1c9d\r\n") && text.contains("PNG"), "{text}");
        let cancel = request(Command::CancelBid { bid: BidId(258), side: Side::Sell }, Wait::Outcome);
        assert!(cancel.starts_with("DELETE /api/sell/bid/258 ") && cancel.ends_with("Content-Length: 0\r\n\r\n"));
    }
}
