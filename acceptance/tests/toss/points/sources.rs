//! The points in the sources of the workers that handle money.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The breaker's row holds no money; `fleet.rs` kills who probes.
const OF_THE_BREAKER: [&str; 3] = ["gate.rs", "probe.rs", "shared_breaker.rs"];
/// What can be seen outside the process, once it has happened.
const STEPS: [&str; 6] = [
    ".commit()",
    ".gate.call(",
    ".publisher.publish(",
    ".publisher.dead_letter(",
    ".execute(&self.pool)",
    "self.pool.acquire()",
];

/// Each file's name, and its text without white space.
fn sources() -> Vec<(String, String)> {
    let workers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workers/src");
    let mut folders: Vec<PathBuf> = ["laddered", "payment", "refund"].map(|role| workers.join(role)).into();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !OF_THE_BREAKER.contains(&name.as_str()) {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.display().to_string(), text.split_whitespace().collect()));
            }
        }
    }
    sources
}

/// The names that stand behind `call`.
fn named<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    text.split(call).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

pub fn points() -> BTreeSet<String> {
    let mut points = BTreeSet::new();
    for (_, text) in sources() {
        points.extend(named(&text, "halt::point(\"").into_iter().map(str::to_owned));
        for step in named(&text, "halt::around(\"") {
            points.extend([format!("{step}.before"), format!("{step}.after")]);
        }
    }
    points
}

#[test]
fn every_step_of_money_lies_between_two_points() {
    for (file, text) in sources() {
        let named = named(&text, "halt::point(\"").len() + named(&text, "halt::around(\"").len();
        assert_eq!(text.matches("halt::").count(), named, "{file}: a point's name is a literal");
        let steps: usize = STEPS.iter().map(|step| text.matches(step).count()).sum();
        let around = text.matches("halt::around(").count();
        assert_eq!(around, steps, "{file} has {steps} steps, and points around {around}");
    }
    assert!(points().len() > 40, "they are found at all: {:?}", points());
}
