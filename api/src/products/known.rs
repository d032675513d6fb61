//! Whether a product exists. Products are never removed, so that one was there a moment ago, or an hour ago while the
//! database is away, is good enough.

use crate::{context::Api, envelope::Failure, recent::Recent, request::PathId};
use contracts::{ProductId, ResultCode};
use std::time::Duration;

const MAX_AGE: Duration = Duration::from_mins(5);
const MAX_REMEMBERED: usize = 50_000;

/// Products that were met.
pub(crate) struct KnownProducts(Recent<ProductId, ()>);

impl KnownProducts {
    pub(crate) fn new() -> Self {
        Self(Recent::new(MAX_REMEMBERED, MAX_AGE))
    }
}

impl Api {
    /// The product of a path, or 404.
    pub(crate) async fn product(&self, id: PathId) -> Result<ProductId, Failure> {
        let id = ProductId(id.known().ok_or(ResultCode::ProductNotFound)?);
        if self.products.0.fresh(&id).is_some() {
            return Ok(id);
        }
        let read = sqlx::query_scalar!("SELECT product_id FROM products WHERE product_id = ?", id.0);
        match self.within(read.fetch_optional(&self.database)).await {
            Ok(Some(_)) => {
                self.products.0.learn(id, ());
                Ok(id)
            }
            Ok(None) => Err(ResultCode::ProductNotFound.into()),
            Err(failure) => self.products.0.any(&id).map(|()| id).ok_or(failure),
        }
    }
}
