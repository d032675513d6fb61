//! The catalogue: found by parts of names, sorted, by pages.

use crate::{
    auth::Reader,
    conditional::Public,
    context::{Api, Shared},
    envelope::{Envelope, Failure},
    pictures::product_picture_address,
    request::{PathId, Query, query::Page},
};
use axum::extract::State;
use contracts::ResultCode;
use serde::Serialize;
use sqlx::MySqlPool;
use utoipa::ToSchema;

/// Products in an answer to a client that names no page.
const UNPAGED: i64 = 1_000;
/// Longer filters match no name.
const MAX_FILTER_CHARS: usize = 200;

/// A product, as clients see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    pub(crate) id: i64,
    pub(crate) brand: String,
    pub(crate) name: String,
    image_url: String,
    description: String,
    pub(crate) price: i64,
}

impl Product {
    fn with_full_address(mut self, api: &Api) -> Self {
        self.image_url = address_of(api, &self.image_url);
        self
    }
}

/// The full address of a product's picture.
pub(super) fn address_of(api: &Api, stored: &str) -> String {
    product_picture_address(&api.config.http.public_url, stored)
}

/// In which order products are listed; ties, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Added,
    Newest,
    Cheapest,
    Dearest,
    Name,
    NameDescending,
    Brand,
    BrandDescending,
}

impl Sort {
    /// From `sort=FIELD` or `sort=FIELD,asc|desc`, as Spring writes it.
    fn parse(text: &str) -> Result<Self, ResultCode> {
        let (field, direction) = text.split_once(',').unwrap_or((text, "asc"));
        let ascending = match direction {
            "asc" => true,
            "desc" => false,
            _ => return Err(ResultCode::BadSortOrder),
        };
        Ok(match (field, ascending) {
            ("id", true) => Sort::Added,
            ("id", false) => Sort::Newest,
            ("price", true) => Sort::Cheapest,
            ("price", false) => Sort::Dearest,
            ("name", true) => Sort::Name,
            ("name", false) => Sort::NameDescending,
            ("brand", true) => Sort::Brand,
            ("brand", false) => Sort::BrandDescending,
            _ => return Err(ResultCode::BadSortOrder),
        })
    }
}

/// What is looked for.
struct Wanted {
    brand: String,
    name: String,
    page: Page,
}

/// The products whose brand and name contain the filters.
#[utoipa::path(
    get,
    path = "/api/products",
    operation_id = "list_products",
    tag = "products",
    params(("brand" = Option<String>, Query, max_length = 200), ("name" = Option<String>, Query, max_length = 200), ("sort" = Option<String>, Query, description = "`id`, `price`, `name` or `brand`, then perhaps `,asc` or `,desc`", pattern = "^(id|price|name|brand)(,(asc|desc))?$"), ("page" = Option<i64>, Query, minimum = 0, maximum = 100_000), ("size" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, description = "Those that were found", body = Envelope<Vec<Product>>), (status = 304, description = "What `If-None-Match` names is still so")),
)]
pub(crate) async fn list(
    State(api): State<Shared>,
    reader: Reader,
    Query(mut query): Query,
) -> Result<Public<Vec<Product>>, Failure> {
    let [brand, name, sort] = ["brand", "name", "sort"].map(|text| query.optional_text(text, MAX_FILTER_CHARS));
    let page = query.page(UNPAGED);
    query.valid()?;
    let sort = sort.filter(|sort| !sort.is_empty()).map_or(Ok(Sort::Added), |sort| Sort::parse(&sort))?;
    let wanted = Wanted { brand: containing(brand.as_deref()), name: containing(name.as_deref()), page };
    let wanted = &wanted;
    let products = api.read(reader.user(), |db: MySqlPool| async move { find(&db, sort, wanted).await }).await?;
    Ok(Public(products.into_iter().map(|product| product.with_full_address(&api)).collect()))
}

/// The first few products whose name contains `part`.
pub(crate) async fn named_like(database: &MySqlPool, part: &str, at_most: i64) -> Result<Vec<Product>, sqlx::Error> {
    let page = Page { size: at_most, offset: 0 };
    find(database, Sort::Added, &Wanted { brand: containing(None), name: containing(Some(part)), page }).await
}

async fn find(database: &MySqlPool, sort: Sort, wanted: &Wanted) -> Result<Vec<Product>, sqlx::Error> {
    /// One statement an order, so that each is checked when it is compiled.
    macro_rules! in_order {
        ($order:literal) => {
            sqlx::query_as!(
                Product,
                "SELECT product_id AS id, brand, name, image_url, description, price FROM products
                 WHERE brand LIKE ? ESCAPE '|' AND name LIKE ? ESCAPE '|' ORDER BY "
                    + $order
                    + " LIMIT ? OFFSET ?",
                wanted.brand,
                wanted.name,
                wanted.page.size,
                wanted.page.offset
            )
            .fetch_all(database)
            .await
        };
    }
    match sort {
        Sort::Added => in_order!("product_id"),
        Sort::Newest => in_order!("product_id DESC"),
        Sort::Cheapest => in_order!("price, product_id"),
        Sort::Dearest => in_order!("price DESC, product_id"),
        Sort::Name => in_order!("name, product_id"),
        Sort::NameDescending => in_order!("name DESC, product_id"),
        Sort::Brand => in_order!("brand, product_id"),
        Sort::BrandDescending => in_order!("brand DESC, product_id"),
    }
}

/// One product.
#[utoipa::path(
    get,
    path = "/api/products/{id}",
    operation_id = "product",
    tag = "products",
    params(("id" = u64, Path, description = "The product")),
    responses((status = 200, description = "The product", body = Envelope<Product>), (status = 304, description = "What `If-None-Match` names is still so")),
)]
pub(crate) async fn detail(State(api): State<Shared>, reader: Reader, id: PathId) -> Result<Public<Product>, Failure> {
    let id = id.known().ok_or(ResultCode::ProductNotFound)?;
    let read = |db: MySqlPool| async move { by_id(&db, id).await };
    let product = api.read(reader.user(), read).await?;
    Ok(Public(product.ok_or(ResultCode::ProductNotFound)?.with_full_address(&api)))
}

/// The product of this number.
pub(crate) async fn by_id(database: &MySqlPool, id: u64) -> Result<Option<Product>, sqlx::Error> {
    sqlx::query_as!(
        Product,
        "SELECT product_id AS id, brand, name, image_url, description, price FROM products WHERE product_id = ?",
        id
    )
    .fetch_optional(database)
    .await
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
    fn an_order_is_known_or_refused() {
        assert_eq!(Sort::parse("id"), Ok(Sort::Added));
        assert_eq!(Sort::parse("price,desc"), Ok(Sort::Dearest));
        assert_eq!(Sort::parse("brand,asc"), Ok(Sort::Brand));
        for wrong in ["", "prices", "price,", "price,DESC", "price,desc,name", "price;DROP TABLE products", "ID"] {
            assert_eq!(Sort::parse(wrong), Err(ResultCode::BadSortOrder), "{wrong}");
        }
    }

    #[test]
    fn a_filter_stands_for_itself() {
        assert_eq!(containing(None), "%%");
        assert_eq!(containing(Some("아메리카노")), "%아메리카노%");
        assert_eq!(containing(Some("100%_|\\'")), "%100|%|_||\\'%");
    }
}
