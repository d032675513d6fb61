//! What only administrators may do.

use crate::{
    auth::Administrator,
    commands::{Ask, Identity, Wishes},
    context::{Api, Shared},
    envelope::{Answer, Envelope, Failure, Nothing},
    openapi::bodies,
    pictures::LookFor,
    request::{JsonBody, PathId, Query, Upload, upload::FILE},
};
use axum::{extract::State, response::Response};
use contracts::{Command, RefundId, ResultCode, command::MAX_REASON_CHARS};
use platform::database::is_duplicate;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Refunds in one answer, oldest first.
const MAX_REFUNDS: i64 = 500;
const MAX_BRAND_CHARS: usize = 60;
const MAX_NAME_CHARS: usize = 120;
const MAX_DESCRIPTION_CHARS: usize = 2_000;

/// Adds a product.
#[utoipa::path(
    post,
    path = "/api/admin/products",
    operation_id = "add_product",
    tag = "administrators",
    request_body(content = bodies::NewProduct, content_type = "multipart/form-data"),
    responses((status = 200, description = "It is in the catalogue", body = Envelope<Nothing>)),
)]
pub(crate) async fn add_product(
    State(api): State<Shared>,
    Administrator(administrator): Administrator,
    Upload { mut fields, file }: Upload,
) -> Result<Answer<Nothing>, Failure> {
    let (brand, name) = (fields.line("brand", MAX_BRAND_CHARS), fields.line("name", MAX_NAME_CHARS));
    let description = fields.optional_text("description", MAX_DESCRIPTION_CHARS).unwrap_or_default();
    let price = fields.price(&api.config.market);
    let picture = api.intake.look(fields.valid_with(FILE, file)?, LookFor::Nothing).await?;

    let image = api.store_product_picture(picture).await?;
    let insert = sqlx::query!(
        "INSERT INTO products (brand, name, description, price, image_url, created_at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        brand,
        name,
        description,
        price.0,
        image,
        api.clock.now().0
    );
    let insert = async {
        insert.execute(&api.database).await.map_err(|error| {
            if is_duplicate(&error) { ResultCode::ProductNameTaken.into() } else { Failure::from(error) }
        })
    };
    api.within(insert).await?;
    api.reads.note_write(administrator.user, Duration::ZERO).await;
    Ok(Answer(Nothing {}))
}

/// A refund that awaits approval.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "these are the contract's names")]
pub(crate) struct Refund {
    refund_id: i64,
    user_id: i64,
    refund_point: i64,
    refund_bank: String,
    /// Masked: whoever transfers asks for it where the transfer is (`payouts`).
    refund_account_number: String,
}

/// The refunds that await approval, oldest first.
#[utoipa::path(
    get,
    path = "/api/admin/refunds",
    operation_id = "refunds",
    tag = "administrators",
    params(("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Oldest first", body = Envelope<Vec<Refund>>)),
)]
pub(crate) async fn refunds(
    State(api): State<Shared>,
    _: Administrator,
    Query(mut query): Query,
) -> Result<Answer<Vec<Refund>>, Failure> {
    let page = query.page(MAX_REFUNDS);
    query.valid()?;
    let read = sqlx::query!(
        "SELECT refund_id, user_id, amount, bank, account_masked FROM refunds
         WHERE state = 'requested' ORDER BY refund_id LIMIT ? OFFSET ?",
        page.size,
        page.offset
    );
    let rows = api.within(read.fetch_all(&api.database)).await?;
    let refunds = rows.into_iter().map(|row| Refund {
        refund_id: row.refund_id,
        user_id: row.user_id,
        refund_point: row.amount,
        refund_bank: row.bank,
        refund_account_number: row.account_masked,
    });
    Ok(Answer(refunds.collect()))
}

/// Approves a refund. However often an administrator clicks, it is one command; until what the user owes changes: a
/// refusal for a debt must not outlive it.
#[utoipa::path(
    delete,
    path = "/api/admin/refund/{id}",
    operation_id = "approve_refund",
    tag = "administrators",
    params(("id" = u64, Path, description = "The refund")),
    responses((status = 200, description = "Approved", body = Envelope<Nothing>)),
)]
pub(crate) async fn approve_refund(
    State(api): State<Shared>,
    Administrator(caller): Administrator,
    wishes: Wishes,
    id: PathId,
) -> Result<Response, Failure> {
    let refund = api.refund(&id).await?;
    let command = Command::ApproveRefund { refund };
    let identity = Identity::ByNature(match api.debt_changed_at(refund).await? {
        Some(at) => format!("{refund}, debt of {at}"),
        None => refund.to_string(),
    });
    api.submit(&wishes, Ask { user: caller.user, at: api.clock.now(), identity, command }).await
}

/// Rejects a refund: its points are the user's again, who is told why. However often an administrator clicks, it is one
/// command.
#[utoipa::path(
    post,
    path = "/api/admin/refund/{id}/reject",
    operation_id = "reject_refund",
    tag = "administrators",
    params(("id" = u64, Path, description = "The refund")),
    request_body = bodies::Refusal,
    responses((status = 200, description = "The points are returned", body = Envelope<Nothing>)),
)]
pub(crate) async fn reject_refund(
    State(api): State<Shared>,
    Administrator(caller): Administrator,
    wishes: Wishes,
    id: PathId,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Failure> {
    let reason = fields.line("reason", MAX_REASON_CHARS);
    fields.valid()?;
    let refund = api.refund(&id).await?;
    let command = Command::RejectRefund { refund, reason };
    let identity = Identity::ByNature(refund.to_string());
    api.submit(&wishes, Ask { user: caller.user, at: api.clock.now(), identity, command }).await
}

impl Api {
    /// A refund, which may have been decided. One that does not exist yet must not be asked for: the refusal would be its
    /// outcome for ever.
    async fn refund(&self, id: &PathId) -> Result<RefundId, Failure> {
        let id = id.known().ok_or(ResultCode::RefundNotFound)?;
        let read = sqlx::query_scalar!("SELECT refund_id FROM refunds WHERE refund_id = ?", id);
        self.within(read.fetch_optional(&self.database)).await?.ok_or(ResultCode::RefundNotFound)?;
        Ok(RefundId(id))
    }

    /// When what the refund's user owes last changed; `None` when they never owed anything.
    async fn debt_changed_at(&self, refund: RefundId) -> Result<Option<i64>, Failure> {
        let read = sqlx::query_scalar!(
            "SELECT d.updated_at_ms FROM refunds r JOIN receivables d ON d.user_id = r.user_id WHERE r.refund_id = ?",
            refund.0
        );
        self.within(read.fetch_optional(&self.database)).await
    }
}
