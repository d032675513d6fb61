//! The query of an address.

use super::Fields;
use crate::envelope::Failure;
use axum::{
    extract::{FromRequestParts, Query as AxumQuery},
    http::request::Parts,
};
use std::collections::HashMap;

/// The fields of a query. Of a name that is given twice, the last counts.
pub(crate) struct Query(pub(crate) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let AxumQuery(pairs) = AxumQuery::<HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::invalid("query", "주소의 질의를 읽을 수 없습니다."))?;
        Ok(Self(Fields::text_form(pairs)))
    }
}

/// A part of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) size: i64,
    pub(crate) offset: i64,
}

/// Pages past this are empty in any market.
const MAX_PAGE: i64 = 1_000_000;
/// The longest page.
const MAX_PAGE_SIZE: i64 = 100;
/// The contract's default.
const DEFAULT_PAGE_SIZE: i64 = 5;

impl Fields {
    /// `page` (from 0) and `size`.
    pub(crate) fn page(&mut self) -> Page {
        let page = self.optional_integer("page", 0..=MAX_PAGE).unwrap_or(0);
        let size = self.optional_integer("size", 1..=MAX_PAGE_SIZE).unwrap_or(DEFAULT_PAGE_SIZE);
        Page { size, offset: page * size }
    }
}
