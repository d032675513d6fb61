//! The catalogue.

use crate::{
    context::{Api, Shared},
    envelope::{Answer, Failure},
    pictures::product_picture_address,
    request::{PathId, Query},
};
use axum::extract::State;
use contracts::ResultCode;
use serde::Serialize;

/// Products in one answer.
const MAX_LISTED: i64 = 1_000;
/// Longer filters match no name.
const MAX_FILTER_CHARS: usize = 200;

/// A product, as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    id: i64,
    brand: String,
    name: String,
    image_url: String,
    description: String,
    price: i64,
}

impl Product {
    fn with_full_address(mut self, api: &Api) -> Self {
        self.image_url = product_picture_address(&api.config.http.public_url, &self.image_url);
        self
    }
}

/// The products whose brand and name contain the filters.
pub(crate) async fn list(State(api): State<Shared>, Query(mut query): Query) -> Result<Answer<Vec<Product>>, Failure> {
    let [brand, name] = ["brand", "name"].map(|filter| query.optional_text(filter, MAX_FILTER_CHARS));
    query.valid()?;
    let read = sqlx::query_as!(
        Product,
        "SELECT product_id AS id, brand, name, image_url, description, price FROM products
         WHERE brand LIKE ? ESCAPE '|' AND name LIKE ? ESCAPE '|' ORDER BY product_id LIMIT ?",
        containing(brand.as_deref()),
        containing(name.as_deref()),
        MAX_LISTED
    );
    let products = api.within(read.fetch_all(&api.database)).await?;
    Ok(Answer(products.into_iter().map(|product| product.with_full_address(&api)).collect()))
}

/// One product.
pub(crate) async fn detail(State(api): State<Shared>, id: PathId) -> Result<Answer<Product>, Failure> {
    let id = id.known().ok_or(ResultCode::ProductNotFound)?;
    let read = sqlx::query_as!(
        Product,
        "SELECT product_id AS id, brand, name, image_url, description, price FROM products WHERE product_id = ?",
        id
    );
    let product = api.within(read.fetch_optional(&api.database)).await?;
    Ok(Answer(product.ok_or(ResultCode::ProductNotFound)?.with_full_address(&api)))
}

/// The LIKE pattern of texts that contain `filter`, whose own `%`, `_` and `|` stand for themselves.
fn containing(filter: Option<&str>) -> String {
    let filter = filter.unwrap_or_default();
    let mut pattern = String::with_capacity(filter.len() + 2);
    pattern.push('%');
    for c in filter.chars() {
        if matches!(c, '%' | '_' | '|') {
            pattern.push('|');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_stands_for_itself() {
        assert_eq!(containing(None), "%%");
        assert_eq!(containing(Some("아메리카노")), "%아메리카노%");
        assert_eq!(containing(Some("100%_|\\'")), "%100|%|_||\\'%");
    }
}
