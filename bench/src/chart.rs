//! The chart: a bar for each speed, with the range of its rounds. SVG by hand: rectangles, lines and words.

use crate::{figures::Figures, report::SPEEDS, statistics::Summary};
use serde_json::Value;
use std::fmt::Write;

const WIDTH: f64 = 1_040.0;
const LABELS: f64 = 430.0;
const ROW: f64 = 30.0;
const TOP: f64 = 56.0;
const BAR: f64 = 18.0;
/// Room for the number behind the longest bar.
const NUMBERS: f64 = 80.0;
const STYLE: &str =
    "text{font:13px sans-serif;fill:#222}.small{font-size:11px;fill:#666}.title{font-size:17px;font-weight:bold}";

/// The whole picture.
pub(crate) fn svg(figures: &Figures, facts: &[(&str, Value)]) -> String {
    let rows: Vec<(&str, Summary)> =
        SPEEDS.iter().filter_map(|(name, what)| Some((*what, figures.summary(name)?))).collect();
    let longest = rows.iter().map(|(_, summary)| summary.max).fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - NUMBERS) / longest;
    let mut body = String::new();
    let mut y = TOP;
    for (what, summary) in &rows {
        bar(&mut body, what, summary, y, scale);
        y += ROW;
    }
    let height = y + 40.0;
    let servers = escaped(&servers(facts));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text class=\"title\" x=\"16\" y=\"28\">Commands a second: median, and range of the rounds</text>{body}\
         <text class=\"small\" x=\"16\" y=\"{}\">{servers}</text></svg>\n",
        y + 18.0
    )
}

fn bar(svg: &mut String, what: &str, summary: &Summary, y: f64, scale: f64) {
    let Summary { median, min, max } = *summary;
    let (middle, end) = (y + BAR / 2.0, LABELS + max.max(median) * scale);
    let (from, to) = (LABELS + min * scale, LABELS + max * scale);
    // Yardsticks are grey.
    let colour =
        if what.starts_with("yardstick") || what.starts_with("one transaction") { "#b0b7c3" } else { "#3f7cc4" };
    // Writing to memory has no way to fail.
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
         <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#222\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{median:.0}</text>",
        LABELS - 10.0,
        middle + 4.5,
        escaped(what),
        median * scale,
        end + 8.0,
        middle + 4.5
    );
}

fn servers(facts: &[(&str, Value)]) -> String {
    let shown = [
        "database_version",
        "sync_binlog",
        "innodb_flush_log_at_trx_commit",
        "rabbitmq_version",
        "queue_type",
        "cores",
    ];
    let fact = |name: &&str| {
        let (_, value) = facts.iter().find(|(known, _)| known == name)?;
        Some(format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)))
    };
    shown.iter().filter_map(fact).collect::<Vec<_>>().join(", ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_speed_that_was_measured_has_its_bar() {
        let mut figures = Figures::default();
        figures.add("batched_per_s", 4_000.0);
        figures.add("bare_batched_per_s", 8_000.0);
        let svg = svg(&figures, &[("database_version", json!("Maria<DB>")), ("cores", json!(2))]);
        assert_eq!(svg.matches("<rect x=").count(), 2);
        assert!(svg.contains(">4000</text>") && svg.contains("#b0b7c3"));
        assert!(svg.contains("database_version Maria&lt;DB&gt;, cores 2"));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn without_figures_it_is_still_a_picture() {
        assert!(svg(&Figures::default(), &[]).ends_with("</svg>\n"));
    }
}
