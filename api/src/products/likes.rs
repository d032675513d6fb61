//! Products that the caller likes.
//!
//! Plain writes, not commands: liking moves nothing, repeating it changes nothing, and nobody waits for its turn.

use super::list::address_of;
use crate::{
    auth::Caller,
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure},
    request::{PathId, Query},
};
use axum::extract::State;
use contracts::{ProductId, UserId};
use serde::Serialize;
use sqlx::MySqlPool;
use std::time::Duration;
use utoipa::ToSchema;

/// Likes in an answer to a client that names no page, the newest first.
const UNPAGED: i64 = 500;
/// Liked products that a login tells, the newest first.
const MAX_TOLD_AT_LOGIN: i64 = 1_000;

/// What became of it, in words.
#[derive(Serialize, ToSchema)]
pub(crate) struct Told {
    message: &'static str,
}

/// A liked product.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "these are the contract's names")]
pub(crate) struct Liked {
    product_id: i64,
    product_brand: String,
    product_name: String,
    product_image_url: String,
    product_description: String,
    product_price: i64,
}

/// Likes a product.
#[utoipa::path(
    post,
    path = "/api/products/{id}/like",
    operation_id = "like",
    tag = "products",
    params(("id" = u64, Path, description = "The product")),
    responses((status = 200, description = "Liked", body = Envelope<Told>)),
)]
pub(crate) async fn like(State(api): State<Shared>, caller: Caller, product: PathId) -> Result<Answer<Told>, Failure> {
    let product = api.product(product).await?;
    api.reads.note_write(caller.user, Duration::ZERO).await;
    let insert = sqlx::query!(
        "INSERT INTO likes (user_id, product_id, created_at_ms) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE product_id = likes.product_id",
        caller.user.0,
        product.0,
        api.clock.now().0
    );
    api.within(insert.execute(&api.database)).await?;
    Ok(Answer(Told { message: "관심 상품으로 등록되었습니다." }))
}

/// Takes a like back.
#[utoipa::path(
    delete,
    path = "/api/products/{id}/dislike",
    operation_id = "dislike",
    tag = "products",
    params(("id" = u64, Path, description = "The product")),
    responses((status = 200, description = "No longer liked", body = Envelope<Told>)),
)]
pub(crate) async fn dislike(
    State(api): State<Shared>,
    caller: Caller,
    product: PathId,
) -> Result<Answer<Told>, Failure> {
    let product = api.product(product).await?;
    api.reads.note_write(caller.user, Duration::ZERO).await;
    let delete = sqlx::query!("DELETE FROM likes WHERE user_id = ? AND product_id = ?", caller.user.0, product.0);
    api.within(delete.execute(&api.database)).await?;
    Ok(Answer(Told { message: "관심 상품에서 해제되었습니다." }))
}

/// What the caller likes, the newest like first.
#[utoipa::path(
    get,
    path = "/api/products/likes",
    operation_id = "liked",
    tag = "products",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Newest first", body = Envelope<Vec<Liked>>)),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    caller: Caller,
    Query(mut query): Query,
) -> Result<Answer<Vec<Liked>>, Failure> {
    let page = query.page(UNPAGED);
    query.valid()?;
    let read = |db: MySqlPool| async move {
        sqlx::query_as!(
            Liked,
            "SELECT p.product_id, p.brand AS product_brand, p.name AS product_name, p.image_url AS product_image_url,
                    p.description AS product_description, p.price AS product_price
             FROM likes l JOIN products p ON p.product_id = l.product_id
             WHERE l.user_id = ? ORDER BY l.created_at_ms DESC, l.product_id DESC LIMIT ? OFFSET ?",
            caller.user.0,
            page.size,
            page.offset
        )
        .fetch_all(&db)
        .await
    };
    let mut liked = api.read(Some(caller.user), read).await?;
    for product in &mut liked {
        product.product_image_url = address_of(&api, &product.product_image_url);
    }
    Ok(Answer(liked))
}

impl Api {
    /// The products that a user likes, the newest like first.
    pub(crate) async fn liked_by(&self, user: UserId) -> Result<Vec<ProductId>, Failure> {
        let read = sqlx::query_scalar!(
            "SELECT product_id FROM likes WHERE user_id = ? ORDER BY created_at_ms DESC, product_id DESC LIMIT ?",
            user.0,
            MAX_TOLD_AT_LOGIN
        );
        let ids = self.within(read.fetch_all(&self.database)).await?;
        Ok(ids.into_iter().map(|id| ProductId(id.unsigned_abs())).collect())
    }
}
