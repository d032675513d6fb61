//! Every query of the rules and dashboards, and the selectors in them.

use acceptance::servers::root;
use serde_json::Value;
use std::fs;

/// An alert of the rules.
pub struct Rule {
    pub alert: String,
    pub expression: String,
    pub severity: String,
    pub runbook: String,
}

/// Every alert.
pub fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(root().join("deploy/prometheus/gream.rules.yml")).unwrap();
    let yaml: Value = serde_yaml_ng::from_str(&text).unwrap();
    let rules = yaml["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules
        .map(|rule| Rule {
            alert: text_of(&rule["alert"]),
            expression: text_of(&rule["expr"]),
            severity: text_of(&rule["labels"]["severity"]),
            runbook: text_of(&rule["annotations"]["runbook"]),
        })
        .collect()
}

/// Every query of every dashboard, with where it stands.
pub fn dashboards() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for file in fs::read_dir(root().join("deploy/grafana/dashboards")).unwrap().map(Result::unwrap) {
        let dashboard: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            let place = format!("{}: {}", text_of(&dashboard["title"]), text_of(&panel["title"]));
            for target in panel["targets"].as_array().unwrap() {
                queries.push((place.clone(), text_of(&target["expr"]).replace("[$__rate_interval]", "[1m]")));
            }
        }
    }
    queries
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

/// A metric as a query names it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

/// The metrics of ours that a query names.
pub fn selectors(query: &str) -> Vec<Selector> {
    let starts = query.match_indices("gream_").map(|(start, _)| start);
    starts
        .map(|start| {
            let rest = &query[start..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let matchers = rest[end..].strip_prefix('{').map(|rest| rest.split_once('}').unwrap().0);
            Selector {
                metric: rest[..end].to_owned(),
                matchers: matchers.map(|list| list.split(',').map(matcher).collect()).unwrap_or_default(),
            }
        })
        .collect()
}

fn matcher(text: &str) -> (String, String, String) {
    let end = text.find(['=', '!']).unwrap();
    let quote = text.find('"').unwrap();
    let value = text[quote..].trim_matches('"');
    (text[..end].trim().to_owned(), text[end..quote].trim().to_owned(), value.to_owned())
}

/// The labels that a query groups by.
pub fn grouped_by(query: &str) -> Vec<String> {
    let lists = query.split(" by (").skip(1).map(|rest| rest.split_once(')').unwrap().0);
    lists.flat_map(|list| list.split(',').map(|label| label.trim().to_owned())).filter(|label| label != "le").collect()
}

#[test]
fn a_query_is_taken_apart() {
    let query = r#"sum by (le, route) (rate(gream_a_total{status=~"5..",method!="GET"}[5m])) / max(gream_b)"#;
    let matchers = [("status", "=~", "5.."), ("method", "!=", "GET")];
    let matchers = matchers.map(|(label, operator, value)| (label.to_owned(), operator.to_owned(), value.to_owned()));
    let wanted = [
        Selector { metric: "gream_a_total".to_owned(), matchers: matchers.to_vec() },
        Selector { metric: "gream_b".to_owned(), matchers: Vec::new() },
    ];
    assert_eq!(selectors(query), wanted);
    assert_eq!(grouped_by(query), ["route"]);
}
