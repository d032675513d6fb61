//! Uploads, over HTTP: multipart bodies, the pictures in them, their barcodes. Every answer is in the envelope and
//! none is a 5xx; the API still serves afterwards.

use super::{mutate::mutate, session};
use acceptance::{
    Market, Visitor,
    visitor::{PNG, send, start_api},
};
use rand::{Rng, rngs::StdRng};
use std::{collections::BTreeMap, time::Instant};

const BOUNDARY: &str = "fuzz-7d1a";
/// Pictures that are what they say.
const PICTURES: [&[u8]; 1] = [PNG];

/// A sell bid's body.
fn sample(picture: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in [("price", "5000"), ("period", "7"), ("expiresOn", "2030-01-31")] {
        let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    body.extend(head.into_bytes());
    body.extend_from_slice(picture);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    body
}

async fn sell(visitor: &Visitor, body: Vec<u8>) -> u16 {
    let request = visitor.request("POST", "/api/sell/1").header("Prefer", "respond-async");
    let request = request.header("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"));
    // That it is in the envelope is looked at there.
    send(request.body(body)).await.status
}

/// Half of them damaged anywhere, half in the picture alone: otherwise few would get past the multipart reader.
fn damaged(luck: &mut StdRng) -> Vec<u8> {
    let picture = PICTURES[luck.random_range(0..PICTURES.len())];
    let other = PICTURES[luck.random_range(0..PICTURES.len())];
    if luck.random() { mutate(&sample(picture), &sample(other), luck) } else { sample(&mutate(picture, other, luck)) }
}

#[tokio::test]
async fn a_damaged_upload_is_answered_and_hurts_nobody() {
    let market = Market::new("fuzz_uploads").await;
    let (_api, visitor) = start_api(&market).await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    assert_eq!(sell(&alice, sample(PNG)).await, 202, "the sample is good");
    let mut session = session();
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    while Instant::now() < session.until {
        let body = damaged(&mut session.luck);
        let status = sell(&alice, body.clone()).await;
        assert!(status < 500 || status == 503, "{status} for {}", String::from_utf8_lossy(&body));
        *seen.entry(status).or_default() += 1;
    }
    println!("answers by status: {seen:?}");
    assert!(seen.contains_key(&400), "damage is noticed: {seen:?}");
    assert_eq!(sell(&alice, sample(PNG)).await, 202, "it still serves");
}
