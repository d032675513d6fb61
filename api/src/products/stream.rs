//! `GET /api/products/{id}/stream`: a product's price levels and trades, as they change.
//!
//! One task a process and watched product reads for everybody who watches it; each watcher is sent what differs from what
//! it was sent last. A slow one skips what was overtaken: levels are states, and of trades the last ones are kept.

use crate::{
    auth::Reader,
    context::{Api, Shared},
    envelope::Failure,
    request::PathId,
    seoul::local,
    streams::{self, Gone, Writer, places::Followers, places::Limits, places::Place},
};
use axum::{
    extract::State,
    response::{Response, sse::Event},
};
use contracts::{ProductId, UnixMs};
use platform::config::ProductStreamsConfig;
use serde_json::{Value, json};
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};

/// What watchers of a product see.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// `{"sell": …, "buy": …}`; nothing was read yet: null.
    levels: Value,
    /// Number and what is shown, oldest first.
    trades: Vec<(i64, Value)>,
}

/// Those who watch, by product.
pub(crate) type Watchers = Followers<ProductId, Arc<Seen>>;

pub(crate) fn watchers(config: &ProductStreamsConfig) -> Arc<Watchers> {
    let ProductStreamsConfig { streams_max, products_max, .. } = *config;
    Followers::new(Limits { streams: streams_max, of_one: streams_max, keys: products_max })
}

/// A product's price levels and trades, as they change (server-sent events).
///
/// `levels` has `sell` and `buy` as their own lists have them, whenever they changed; `trade` a trade that was made since,
/// with its number as the event's id. Whoever falls behind is sent the newest levels and the last trades.
#[utoipa::path(
    get,
    path = "/api/products/{id}/stream",
    operation_id = "product_stream",
    tag = "products",
    params(("id" = u64, Path, description = "The product")),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = String)),
)]
pub(crate) async fn get(State(api): State<Shared>, _reader: Reader, id: PathId) -> Result<Response, Failure> {
    let product = api.product(id).await?;
    let place = api.watchers.join(product, Arc::default()).map_err(|_| Failure::away())?;
    let settings = &api.config.notifications;
    let (writer, response) =
        streams::open(Duration::from_millis(settings.send_timeout_ms), Duration::from_millis(settings.heartbeat_ms));
    let watching = api.clone();
    api.shutdown.spawn(async move {
        tokio::select! {
            () = watching.shutdown.requested() => (),
            // Whoever is gone needs no more.
            _ = watch(place, &writer) => (),
        }
    });
    Ok(response)
}

async fn watch(mut place: Place<ProductId, Arc<Seen>>, writer: &Writer) -> Result<(), Gone> {
    let mut levels = Value::Null;
    let mut last_trade = None;
    loop {
        let seen = place.newest.borrow_and_update().clone();
        if seen.levels != levels {
            levels = seen.levels.clone();
            writer.send(Event::default().event("levels").data(levels.to_string())).await?;
        }
        if !seen.levels.is_null() {
            // The first look shows what was traded before: only what comes after is news.
            let known = last_trade.unwrap_or_else(|| seen.trades.last().map_or(0, |(number, _)| *number));
            for (number, trade) in seen.trades.iter().filter(|(number, _)| *number > known) {
                writer.send(Event::default().id(number.to_string()).event("trade").data(trade.to_string())).await?;
            }
            last_trade = Some(seen.trades.last().map_or(known, |(number, _)| known.max(*number)));
        }
        tokio::select! {
            changed = place.newest.changed() => changed.map_err(|_| Gone)?,
            () = writer.left() => return Err(Gone),
        }
    }
}

/// Reads every watched product, one after the other, each interval, until it is dropped.
pub(crate) async fn run(api: &Api) {
    let interval = Duration::from_millis(api.config.product_streams.interval_ms);
    loop {
        let watched = api.watchers.followed();
        metrics::gauge!("gream_product_streams").set(u32::try_from(api.watchers.count()).unwrap_or(u32::MAX));
        if watched.is_empty() {
            api.watchers.joined.notified().await;
            continue;
        }
        for (product, _) in watched {
            // A failed read is told by the database's own warnings; watchers keep what they have.
            if let Ok(seen) = read(api, product).await {
                api.watchers.tell(&product, Arc::new(seen), |known, new| known != new);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => (),
            // Whoever opens a stream need not wait for its first levels.
            () = api.watchers.joined.notified() => (),
        }
    }
}

async fn read(api: &Api, product: ProductId) -> Result<Seen, Failure> {
    let (now, levels) = (api.clock.now().0, api.config.product_streams.levels);
    let sell = |db: MySqlPool| async move {
        sqlx::query!(
            r#"SELECT book_price AS "price!", COUNT(*) AS quantity FROM bids
             WHERE product_id = ? AND side = 'sell' AND state = 'open' AND deadline_ms > ?
             GROUP BY book_price ORDER BY book_price LIMIT ?"#,
            product.0,
            now,
            levels
        )
        .fetch_all(&db)
        .await
    };
    let buy = |db: MySqlPool| async move {
        sqlx::query!(
            r#"SELECT -book_price AS "price!: i64", COUNT(*) AS quantity FROM bids
             WHERE product_id = ? AND side = 'buy' AND state = 'open' AND deadline_ms > ?
             GROUP BY book_price ORDER BY book_price LIMIT ?"#,
            product.0,
            now,
            levels
        )
        .fetch_all(&db)
        .await
    };
    let trades = |db: MySqlPool| async move {
        sqlx::query!(
            "SELECT order_id, final_price, traded_at_ms FROM orders WHERE product_id = ? ORDER BY order_id DESC LIMIT ?",
            product.0,
            levels
        )
        .fetch_all(&db)
        .await
    };
    let sell =
        api.read(None, sell).await?.into_iter().map(|row| json!({"sellPrice": row.price, "quantity": row.quantity}));
    let sell: Vec<Value> = sell.collect();
    let buy =
        api.read(None, buy).await?.into_iter().map(|row| json!({"buyPrice": row.price, "quantity": row.quantity}));
    let buy: Vec<Value> = buy.collect();
    let trade = |id: i64, price: i64, at| (id, json!({"id": id, "finalPrice": price, "tradeDate": local(UnixMs(at))}));
    let rows = api.read(None, trades).await?;
    let trades = rows.into_iter().rev().map(|row| trade(row.order_id, row.final_price, row.traded_at_ms)).collect();
    Ok(Seen { levels: json!({"sell": sell, "buy": buy}), trades })
}
