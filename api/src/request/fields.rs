//! The fields of a request: read one by one, every mistake collected, so that a client sees all of them at once.
//!
//! A getter that finds a mistake notes it and gives back a placeholder; [`Fields::valid`] then refuses the request
//! before anybody has used it.

use crate::{
    envelope::{Failure, FieldError},
    seoul::end_of_day,
};
use contracts::{CouponId, UnixMs, Won, id::ID_LIMIT};
use platform::config::MarketConfig;
use serde_json::{Map, Value};
use std::{collections::HashMap, ops::RangeInclusive};

/// Where the values come from.
enum Source {
    /// JSON: everything has a type.
    Json(Map<String, Value>),
    /// A form or a query, where everything is text.
    Text(HashMap<String, String>),
}

/// One value, as found.
enum Found<'a> {
    Missing,
    Text(&'a str),
    Number(&'a serde_json::Number),
    Other,
}

/// The fields of one request.
pub(crate) struct Fields {
    source: Source,
    errors: Vec<FieldError>,
}

impl Fields {
    pub(crate) fn json(object: Map<String, Value>) -> Self {
        Self { source: Source::Json(object), errors: Vec::new() }
    }

    pub(crate) fn text_form(pairs: HashMap<String, String>) -> Self {
        Self { source: Source::Text(pairs), errors: Vec::new() }
    }

    fn find(&self, name: &str) -> Found<'_> {
        match &self.source {
            Source::Text(pairs) => pairs.get(name).map_or(Found::Missing, |text| Found::Text(text)),
            Source::Json(object) => match object.get(name) {
                None | Some(Value::Null) => Found::Missing,
                Some(Value::String(text)) => Found::Text(text),
                Some(Value::Number(number)) => Found::Number(number),
                Some(_) => Found::Other,
            },
        }
    }

    /// Notes a mistake.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    /// Refuses the request if anything was wrong with it.
    pub(crate) fn valid(&self) -> Result<(), Failure> {
        if self.errors.is_empty() { Ok(()) } else { Err(Failure::invalid_fields(&self.errors)) }
    }

    /// The same, for a request that must also have had `part`.
    pub(crate) fn valid_with<T>(mut self, name: &str, part: Option<T>) -> Result<T, Failure> {
        let missing = "필수 값입니다.";
        if part.is_none() {
            self.refuse(name, missing);
        }
        self.valid()?;
        part.ok_or_else(|| Failure::invalid(name, missing))
    }

    /// A whole number within `range`, or nothing.
    ///
    /// In JSON, too, it may stand in a text (`"4500"`, and `""` for nothing): front ends send what an input field
    /// holds, and Spring with Jackson, which they were written for, reads it by default.
    pub(crate) fn optional_integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let number = match self.find(name) {
            Found::Missing | Found::Text("") => return None,
            Found::Text(text) => whole(text),
            Found::Number(number) => number.as_i64().ok_or(number.is_u64()),
            Found::Other => Err(false),
        };
        match number {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(true) => {
                self.refuse(name, format!("{} 이상 {} 이하여야 합니다.", range.start(), range.end()));
                None
            }
            Err(false) => {
                self.refuse(name, "정수여야 합니다.");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(crate) fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> i64 {
        let mistakes = self.errors.len();
        self.optional_integer(name, range).unwrap_or_else(|| {
            if self.errors.len() == mistakes {
                self.refuse(name, "필수 값입니다.");
            }
            0
        })
    }

    /// Any text, as it came.
    pub(crate) fn any_text(&mut self, name: &str) -> String {
        match self.find(name) {
            Found::Text(text) => return text.to_owned(),
            Found::Missing => self.refuse(name, "필수 값입니다."),
            Found::Number(_) | Found::Other => self.refuse(name, "문자열이어야 합니다."),
        }
        String::new()
    }

    /// A text that `rule` holds for.
    pub(crate) fn text_where(&mut self, name: &str, message: &str, rule: impl Fn(&str) -> bool) -> String {
        let mistakes = self.errors.len();
        let text = self.any_text(name);
        if self.errors.len() == mistakes && !rule(&text) {
            self.refuse(name, message);
        }
        text
    }

    /// A line of text with something in it, without control characters, trimmed.
    pub(crate) fn line(&mut self, name: &str, max_chars: usize) -> String {
        let message = format!("1자 이상 {max_chars}자 이하여야 합니다.");
        let rule = |text: &str| {
            let text = text.trim();
            (1..=max_chars).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        self.text_where(name, &message, rule).trim().to_owned()
    }

    /// A text that may be missing, of at most `max_chars`.
    pub(crate) fn optional_text(&mut self, name: &str, max_chars: usize) -> Option<String> {
        match self.find(name) {
            Found::Missing => None,
            Found::Text(text) if text.chars().count() <= max_chars => Some(text.to_owned()),
            Found::Text(_) => {
                self.refuse(name, format!("{max_chars}자 이하여야 합니다."));
                None
            }
            Found::Number(_) | Found::Other => {
                self.refuse(name, "문자열이어야 합니다.");
                None
            }
        }
    }

    /// `price`, as the market allows it.
    pub(crate) fn price(&mut self, market: &MarketConfig) -> Won {
        Won(self.integer("price", market.min_price..=market.max_price))
    }

    /// `period` in days, or the market's default.
    pub(crate) fn period_days(&mut self, market: &MarketConfig) -> u32 {
        let days = self.optional_integer("period", 1..=i64::from(market.max_period_days));
        days.and_then(|days| u32::try_from(days).ok()).unwrap_or(market.default_period_days)
    }

    /// `expiresOn`, a gifticon's own last day, if it is said: its exclusive end in Seoul.
    pub(crate) fn expires_on(&mut self) -> Option<UnixMs> {
        const MAX_CHARS: usize = 40;
        let text = self.optional_text("expiresOn", MAX_CHARS).filter(|text| !text.is_empty())?;
        let end = end_of_day(&text);
        if end.is_none() {
            self.refuse("expiresOn", "YYYY-MM-DD 형식의 날짜여야 합니다.");
        }
        end
    }

    /// `couponId`, if there is one.
    pub(crate) fn coupon(&mut self) -> Option<CouponId> {
        let last = i64::try_from(ID_LIMIT - 1).unwrap_or(i64::MAX);
        self.optional_integer("couponId", 1..=last).and_then(|id| u64::try_from(id).ok()).map(CouponId)
    }
}

/// A whole number written with digits only, or whether it is one that does not fit (`Err(true)`).
fn whole(text: &str) -> Result<i64, bool> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(false);
    }
    text.parse().map_err(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json_fields(value: Value) -> Fields {
        let Value::Object(object) = value else { panic!("an object") };
        Fields::json(object)
    }

    fn form(pairs: &[(&str, &str)]) -> Fields {
        Fields::text_form(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn only_whole_numbers_within_the_range_are_numbers_in_json() {
        for ten in [json!(10), json!("10")] {
            assert_eq!(json_fields(json!({"price": ten})).optional_integer("price", 1..=10), Some(10));
        }
        for wrong in [
            json!(0),
            json!(-1),
            json!(11),
            json!(1.0),
            json!(1.5),
            json!(1e300),
            json!(u64::MAX),
            json!("11"),
            json!("5.0"),
            json!(" 5"),
            json!("five"),
            json!(""),
            json!(true),
            json!([5]),
            json!({"a": 5}),
        ] {
            let mut fields = json_fields(json!({"price": wrong}));
            assert_eq!(fields.integer("price", 1..=10), 0, "{wrong}");
            assert_eq!(fields.errors.len(), 1, "{wrong}");
            assert_eq!(fields.errors[0].field, "price");
        }
    }

    #[test]
    fn a_missing_number_is_a_mistake_only_where_it_is_needed() {
        for empty in [json!({}), json!({"price": null}), json!({"price": ""})] {
            let mut fields = json_fields(empty);
            assert_eq!(fields.optional_integer("price", 1..=10), None);
            assert!(fields.valid().is_ok());
            fields.integer("price", 1..=10);
            assert_eq!(fields.errors.len(), 1);
        }
    }

    #[test]
    fn a_form_writes_its_numbers_in_digits() {
        assert_eq!(form(&[("price", "10")]).optional_integer("price", 1..=10), Some(10));
        assert_eq!(form(&[("price", "")]).optional_integer("price", 1..=10), None);
        for wrong in ["+5", " 5", "5 ", "5.0", "1e3", "NaN", "0x5", "٥", "-", "99999999999999999999", "-5", "11"] {
            let mut fields = form(&[("price", wrong)]);
            fields.integer("price", 1..=10);
            assert_eq!(fields.errors.len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_day_may_be_missing_and_must_be_one() {
        for empty in [form(&[]), form(&[("expiresOn", "")])] {
            let mut fields = empty;
            assert_eq!(fields.expires_on(), None);
            assert!(fields.valid().is_ok());
        }
        assert_eq!(form(&[("expiresOn", "2024-01-30")]).expires_on(), end_of_day("2024-01-30"));
        let mut fields = form(&[("expiresOn", "tomorrow")]);
        fields.expires_on();
        assert!(fields.valid().is_err());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut fields = json_fields(json!({"point": "x", "bank": "", "accountNumber": 5}));
        fields.integer("point", 1..=10);
        fields.line("bank", 40);
        fields.any_text("accountNumber");
        assert_eq!(
            fields.errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
            ["point", "bank", "accountNumber"]
        );
        assert!(fields.valid().is_err());
    }

    #[test]
    fn a_line_is_trimmed_and_has_no_control_characters() {
        assert_eq!(json_fields(json!({"bank": " 국민 "})).line("bank", 2), "국민");
        for wrong in ["", "   ", "국민은", "a\nb", "a\u{0}"] {
            let mut fields = json_fields(json!({"bank": wrong}));
            fields.line("bank", 2);
            assert!(fields.valid().is_err(), "{wrong:?}");
        }
    }
}
