//! The rules by themselves.

use crate::queries::rules;
use acceptance::servers::root;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

const TESTS: &str = "deploy/prometheus/tests/gream.test.yml";

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(root()).output();
    let output = output.expect("promtool is installed: run dev/install tests");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
}

#[test]
fn promtool_finds_nothing_and_every_rule_does_as_its_tests_say() {
    promtool(&["check", "rules", "deploy/prometheus/gream.rules.yml"]);
    // The rules' place is the container's.
    promtool(&["check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml"]);
    promtool(&["test", "rules", TESTS]);
}

#[test]
fn every_alert_is_shown_firing_and_staying_quiet() {
    let tests = fs::read_to_string(root().join(TESTS)).unwrap();
    for rule in rules() {
        for case in [format!("name: {} fires\n", rule.alert), format!("name: {} stays quiet\n", rule.alert)] {
            let (_, test) = tests.split_once(&case).unwrap_or_else(|| panic!("no test with {case}"));
            let test = test.split("  - name: ").next().unwrap();
            assert!(test.contains(&format!("alertname: {}\n", rule.alert)), "{case}: {test}");
            assert_eq!(test.contains("exp_labels"), case.contains("fires"), "{case}: {test}");
        }
    }
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let folder = root().join("docs/runbook");
    let mut pages: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(pages.remove("README.md"));
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for rule in rules() {
        let page = format!("{}.md", rule.alert);
        assert_eq!(rule.runbook, format!("docs/runbook/{page}"));
        assert!(["page", "ticket"].contains(&rule.severity.as_str()), "{}: {}", rule.alert, rule.severity);
        assert!(pages.remove(&page), "{page} is missing");
        assert!(index.contains(&format!("({page})")), "the index names {page}");
        let text = fs::read_to_string(folder.join(&page)).unwrap();
        for part in [&format!("# {}\n", rule.alert), "**Users notice:**", "**Look:**", "**Do:**"] {
            assert!(text.contains(part), "{page} lacks {part}");
        }
        links_lead_somewhere(&folder, &text);
    }
    assert_eq!(pages, BTreeSet::new(), "pages without an alert");
}

#[test]
fn every_alert_is_caused_by_a_test() {
    let folder = root().join("acceptance/tests/alerts");
    let causes = ["causes.rs", "slowness.rs"].map(|file| fs::read_to_string(folder.join(file)).unwrap()).concat();
    let waits = |alert: &str| {
        causes.contains(&format!("alarms(\"{alert}\",")) || causes.contains(&format!("fires(\"{alert}\","))
    };
    let uncaused: Vec<String> = rules().into_iter().map(|rule| rule.alert).filter(|alert| !waits(alert)).collect();
    assert_eq!(uncaused, [""; 0], "cause them in one of these");
}

fn links_lead_somewhere(folder: &Path, text: &str) {
    for link in text.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
        assert!(folder.join(link).is_file(), "{link}");
    }
}
