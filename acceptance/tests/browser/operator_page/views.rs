//! Each view over a small market at work; and pictures of them, where `dev/screenshot` wants them (`GREAM_SCREENSHOTS`).

use super::{Desk, go};
use acceptance::{
    Market,
    commands::{buy, sell},
    stage::Stage,
};
use contracts::{ProductId, UserId};
use std::{path::PathBuf, time::Duration};

const BUYERS: u64 = 4;

/// More products than partitions, so that each partition has work.
const PRODUCTS: u64 = 6;

/// Bids around 1,000 won on both sides, some of which trade.
async fn trade(market: &Market, seller: UserId, product: ProductId, round: u64) {
    let mut commands = Vec::new();
    for n in 0..40_u64 {
        let price = 1_000 + i64::try_from((n * 7 + round * 13) % 40).unwrap() * 10;
        commands.push(sell(&format!("s{product}-{round}-{n}"), seller, product, price + 50, market.now()));
        let buyer = UserId(100 + n % BUYERS);
        commands.push(buy(
            &format!("b{product}-{round}-{n}"),
            buyer,
            product,
            price - 60 + i64::try_from(n % 5).unwrap() * 30,
            market.now(),
        ));
    }
    market.broker.publish(market.partitions, &commands).await;
}

#[tokio::test]
async fn each_view_shows_a_market_at_work() {
    let mut stage = Stage::new("page_views").await;
    let (_sandbox, _) = stage.market.sandbox().await;
    let _others = stage.market.worker(&["payment", "refund", "notifier", "scheduler"]).await;
    for n in 0..BUYERS {
        stage.market.user(100 + n, 10_000_000).await;
    }
    stage.poisoned(12).await;
    let desk = Desk::open(&stage.market).await;
    for round in 0..3 {
        trade(&stage.market, stage.seller, stage.product, round).await;
    }
    for product in 2..=PRODUCTS {
        let product = stage.market.product(product).await;
        trade(&stage.market, stage.seller, product, 0).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = desk.browser(folder.path()).await;
    page.look_like((1_360, 1_080), "light").await;

    // What fires is what is so: dead letters, and nothing else once each duty has run.
    page.until("document.querySelectorAll('#firing li').length === 1 && document.querySelector('#firing').textContent.includes('GreamDeadLetters')").await;
    let shown = page.text("#pipeline").await;
    for part in ["Partitions of the order books", "bid", "stale_bids", "compare_days", "closed"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let holders = "[...document.querySelectorAll('#pipeline table')].find(table => table.caption.textContent.startsWith('Partitions')).tBodies[0]";
    page.until(&format!("{holders}.rows.length === 4 && {holders}.textContent.includes('workers-')")).await;
    let at = page.evaluate("document.querySelector('#pipeline').dataset.at").await;
    page.until(&format!("document.querySelector('#pipeline').dataset.at !== {at}")).await;

    let (market, seller, product) = (&stage.market, stage.seller, stage.product);
    let work = async {
        for round in 3.. {
            trade(market, seller, product, round).await;
            trade(market, seller, ProductId(2 + round % (PRODUCTS - 1)), round).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let seen = async {
        page.until(
            "Number(document.querySelector('#pipeline table tbody tr').lastChild.textContent.replaceAll(',', '')) > 0",
        )
        .await;
        page.picture().await
    };
    let picture = tokio::select! { picture = seen => picture, () = work => unreachable!() };
    keep("operator-page.png", &picture);

    go(&page, "letters").await;
    page.until("document.querySelector('.group[data-reason]')").await;
    page.look_like((1_360, 900), "dark").await;
    keep("operator-page-letters.png", &page.picture().await);
    page.look_like((1_360, 1_080), "light").await;

    go(&page, &format!("market/{}", product.0)).await;
    page.until("document.querySelector('svg#book path.sell') && document.querySelector('svg#trades .price')").await;
    let label = page.evaluate("document.querySelector('#trades').getAttribute('aria-label')").await;
    let trades: usize = label.as_str().unwrap().split(' ').nth(2).unwrap().parse().unwrap();
    assert!(trades >= 50, "{label}");
    keep("operator-page-market.png", &page.picture().await);
    let order = page.text("#shown a[href^='#trace/order']").await;
    go(&page, &format!("trace/order:{order}")).await;
    page.until("document.querySelector('#traced')?.textContent.includes('on held of user')").await;

    // Told what to do where nothing is found.
    go(&page, "trace/order:1").await;
    page.until("document.querySelector('#said').textContent.includes('not known here')").await;
    go(&page, "market/999999").await;
    page.until("document.querySelector('#said').textContent.includes('no such product')").await;

    // A bid that waits where nobody works.
    stage.workers.kill();
    let late = buy("late", UserId(100), stage.product, 500, stage.market.now());
    stage.market.broker.publish(stage.market.partitions, &[late]).await;
    go(&page, "pipeline").await;
    page.until("document.querySelector('#firing')?.textContent.includes('nobody consumes the queues of role bid')")
        .await;
}

/// Writes a picture into the folder that wants them.
fn keep(name: &str, picture: &str) {
    let picture = decoded(picture);
    assert!(picture.starts_with(b"\x89PNG"));
    if let Some(folder) = std::env::var_os("GREAM_SCREENSHOTS").map(PathBuf::from) {
        std::fs::write(folder.join(name), picture).unwrap();
        println!("{} is in {}", name, folder.display());
    }
}

/// Base64, as Chromium writes it.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
