//! What was measured, by name, and the one flat JSON object that machines read.

use crate::statistics::Summary;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Every figure's values, one a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.entry(name.into()).or_default().push(value);
    }

    pub(crate) fn summary(&self, name: &str) -> Option<Summary> {
        Summary::of(self.0.get(name)?)
    }

    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.summary(name).map(|summary| summary.median)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, Summary)> {
        self.0.iter().filter_map(|(name, values)| Some((name.as_str(), Summary::of(values)?)))
    }

    /// `NAME`, `NAME_min` and `NAME_max` of each figure, and what is said beside them.
    pub(crate) fn to_json(&self, beside: &[(&str, Value)]) -> Value {
        let mut object = Map::new();
        for (name, Summary { median, min, max }) in self.all() {
            object.insert(name.to_owned(), json!(rounded(median)));
            object.insert(format!("{name}_min"), json!(rounded(min)));
            object.insert(format!("{name}_max"), json!(rounded(max)));
        }
        object.extend(beside.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(object)
    }
}

/// To three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_one_flat_object_with_medians_and_ranges() {
        let mut figures = Figures::default();
        for value in [3.0, 1.000_04, 2.0] {
            figures.add("batched_per_s", value);
        }
        let json = figures.to_json(&[("database", json!("MariaDB"))]);
        let expected =
            json!({"batched_per_s": 2.0, "batched_per_s_min": 1.0, "batched_per_s_max": 3.0, "database": "MariaDB"});
        assert_eq!(json, expected);
        assert!(json.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array()));
    }

    #[test]
    fn what_was_not_measured_has_no_median() {
        assert_eq!(Figures::default().median("x"), None);
    }
}
