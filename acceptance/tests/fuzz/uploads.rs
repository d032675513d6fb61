//! Uploads, over HTTP: multipart bodies, the pictures in them, their barcodes. Every answer is in the envelope and
//! none is a 5xx; the API still serves afterwards. Some of the damage gets as far as the barcode reader.

use super::{mutate::mutate, session};
use acceptance::{
    Market, Visitor,
    visitor::{PNG, send, start_api},
    voucher,
};
use rand::{Rng, rngs::StdRng};
use std::{collections::BTreeMap, time::Instant};

const BOUNDARY: &str = "fuzz-7d1a";
/// What the barcodes say.
const TEXT: &str = "9876543210123456";
/// How the API counts gifticons whose barcode it looked for in vain.
const UNREAD: &str = r#"gream_gifticon_pictures_total{barcode_read="no"} "#;

/// Vouchers as people send them, one in each format.
fn pictures() -> [Vec<u8>; 3] {
    [voucher::png(TEXT), voucher::jpeg(TEXT), voucher::webp(TEXT)]
}

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

/// Few of them damaged anywhere, most in the picture alone: otherwise few would get past the multipart reader.
fn damaged(pictures: &[Vec<u8>], luck: &mut StdRng) -> Vec<u8> {
    let picture = &pictures[luck.random_range(0..pictures.len())];
    let other = &pictures[luck.random_range(0..pictures.len())];
    if luck.random_ratio(1, 4) {
        return mutate(&sample(picture), &sample(other), luck);
    }
    let harmed = mutate(picture, other, luck);
    // No reader looks behind a wrong check sum, and hostile ones are right.
    let harmed = if harmed.starts_with(b"\x89PNG") { voucher::believable(harmed) } else { harmed };
    sample(&harmed)
}

/// Gifticons whose barcode was looked for in vain. The samples' are read, so these are damaged, and still pictures.
async fn unread(admin: &str) -> u64 {
    let metrics = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    metrics.lines().find_map(|line| line.strip_prefix(UNREAD)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_damaged_upload_is_answered_and_hurts_nobody() {
    let market = Market::new("fuzz_uploads").await;
    let (mut api, visitor) = start_api(&market).await;
    let admin = api.address("admin").await;
    let alice = visitor.join("alice").await;
    market.product(1).await;
    let pictures = pictures();
    for picture in &pictures {
        assert_eq!(sell(&alice, sample(picture)).await, 202, "the sample is good");
    }
    assert_eq!(unread(&admin).await, 0, "the samples' barcodes are read");
    let mut session = session();
    let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
    while Instant::now() < session.until {
        let body = damaged(&pictures, &mut session.luck);
        let status = sell(&alice, body.clone()).await;
        assert!(status < 500 || status == 503, "{status} for {}", String::from_utf8_lossy(&body));
        *seen.entry(status).or_default() += 1;
    }
    let unread = unread(&admin).await;
    println!("answers by status: {seen:?}; barcodes looked for in vain: {unread}");
    assert!(seen.contains_key(&400), "damage is noticed: {seen:?}");
    assert!(unread > 0, "some damage gets as far as the barcode reader: {seen:?}");
    assert_eq!(sell(&alice, sample(PNG)).await, 202, "it still serves");
}
