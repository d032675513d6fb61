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

/// Rows that a page may leave out before it: they are read all the same.
const MAX_OFFSET: i64 = 100_000;
/// The longest page.
const MAX_PAGE_SIZE: i64 = 100;
/// Price levels of a page, when nobody says how many: the contract's default.
const LEVELS: i64 = 5;

impl Fields {
    /// `page` (from 0) and `size` of a list of price levels.
    pub(crate) fn levels_page(&mut self) -> Page {
        self.page(LEVELS)
    }

    /// `page` (from 0) and `size`; a client that names neither gets the first `unpaged` rows.
    pub(crate) fn page(&mut self, unpaged: i64) -> Page {
        let page = self.optional_integer("page", 0..=MAX_OFFSET);
        let size = self.optional_integer("size", 1..=MAX_PAGE_SIZE);
        let usual = if page.is_some() { unpaged.min(MAX_PAGE_SIZE) } else { unpaged };
        let size = size.unwrap_or(usual);
        let offset = page.unwrap_or(0) * size;
        if offset > MAX_OFFSET {
            self.refuse("page", format!("처음 {MAX_OFFSET}개까지만 조회할 수 있습니다."));
        }
        Page { size, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, unpaged: i64) -> Option<(i64, i64)> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut fields = Fields::text_form(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
        let Page { size, offset } = fields.page(unpaged);
        fields.valid().is_ok().then_some((size, offset))
    }

    #[test]
    fn who_names_no_page_gets_the_usual_rows() {
        assert_eq!(page("", 500), Some((500, 0)));
        assert_eq!(page("size=7", 500), Some((7, 0)));
        assert_eq!(page("page=0", 500), Some((100, 0)));
        assert_eq!(page("page=3", 5), Some((5, 15)));
        assert_eq!(page("page=3&size=20", 500), Some((20, 60)));
    }

    #[test]
    fn neither_a_page_nor_its_distance_is_unbounded() {
        assert_eq!(page("page=1000&size=100", 500), Some((100, 100_000)));
        for wrong in ["page=1001&size=100", "size=101", "size=0", "page=-1", "page=x", "page=99999999999999999999"] {
            assert_eq!(page(wrong, 500), None, "{wrong}");
        }
    }
}
