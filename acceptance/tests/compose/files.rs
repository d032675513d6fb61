//! What the files say: Compose's, merged as Compose merges them, the Dockerfile's instructions, and the secrets that are made.

use acceptance::servers::root;
use platform::Config;
use serde_yaml_ng::{Mapping, Value};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    process::Command,
};

pub(super) const OWN_IMAGE: &str = "gream:local";

/// The files of a deployment, each over the ones before.
pub(super) type Deployment = &'static [&'static str];
pub(super) const SINGLE: Deployment = &["docker-compose.yml"];
pub(super) const CLUSTERS: Deployment = &["docker-compose.yml", "deploy/ha/compose.yml"];
pub(super) const DEPLOYMENTS: [Deployment; 2] = [SINGLE, CLUSTERS];

/// A deployment with anchors merged and `${NAME:-default}` filled in from `environment`.
pub(super) fn compose(deployment: Deployment, environment: &[(&str, &str)]) -> Value {
    let files = deployment.iter().map(|file| {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let mut yaml: Value = serde_yaml_ng::from_str(&interpolated(&text, environment)).unwrap();
        yaml.apply_merge().unwrap();
        yaml
    });
    files.reduce(|under, over| merged("", under, over)).unwrap()
}

/// As Compose merges files: mappings by key, these lists by what they name, everything else is replaced; and whatever is tagged
/// `!override`.
pub(super) fn merged(key: &str, under: Value, over: Value) -> Value {
    match (under, over) {
        (_, Value::Tagged(tagged)) => {
            assert_eq!(tagged.tag, "override", "{key}");
            tagged.value
        }
        (Value::Mapping(mut all), Value::Mapping(over)) => {
            for (key, value) in over {
                let under = all.remove(&key).unwrap_or_default();
                all.insert(key.clone(), merged(key.as_str().unwrap_or_default(), under, value));
            }
            Value::Mapping(all)
        }
        (Value::Sequence(mut all), Value::Sequence(over)) if ["ports", "volumes", "secrets"].contains(&key) => {
            let target = |value: &Value| value.as_str().map(|text| text.split(':').nth(1).unwrap_or(text).to_owned());
            all.retain(|value| target(value).is_none() || !over.iter().any(|new| target(new) == target(value)));
            all.extend(over);
            Value::Sequence(all)
        }
        (_, over) => over,
    }
}

pub(super) fn interpolated(text: &str, environment: &[(&str, &str)]) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("a variable's end");
        let (name, default) = variable.split_once(":-").expect("every variable has a default");
        let value = environment.iter().find(|(known, _)| *known == name).map_or(default, |(_, value)| value);
        filled.push_str(value);
        filled.push_str(rest);
    }
    filled
}

/// The variables of dev/docker-demo.env.
pub(super) fn demo_environment() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("dev/docker-demo.env")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(super) fn services(yaml: &Value) -> BTreeMap<String, Mapping> {
    let services = yaml["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (text(name), service.as_mapping().unwrap().clone())).collect()
}

/// Those that run our own binary.
pub(super) fn own_services(yaml: &Value) -> BTreeMap<String, Mapping> {
    services(yaml).into_iter().filter(|(_, service)| service["image"] == OWN_IMAGE).collect()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value:?}")).to_owned()
}

/// A list of texts; nothing where there is no such key.
pub(super) fn texts(service: &Mapping, key: &str) -> Vec<String> {
    service.get(key).map(|list| list.as_sequence().unwrap().iter().map(text).collect()).unwrap_or_default()
}

pub(super) fn environment_of(service: &Mapping) -> BTreeMap<String, String> {
    let Some(variables) = service.get("environment") else { return BTreeMap::new() };
    variables.as_mapping().unwrap().iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// Each secret of a service, with the path it is mounted at.
pub(super) fn secrets_of(service: &Mapping) -> BTreeMap<String, String> {
    let Some(list) = service.get("secrets") else { return BTreeMap::new() };
    let mounted = |secret: &Value| match secret {
        Value::String(name) => (name.clone(), format!("/run/secrets/{name}")),
        long => (text(&long["source"]), text(&long["target"])),
    };
    list.as_sequence().unwrap().iter().map(mounted).collect()
}

pub(super) fn port_of(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap_or_else(|_| panic!("a port in {address}"))
}

/// The Dockerfile's instructions, continued lines joined: name and the rest.
pub(super) fn dockerfile() -> Vec<(String, String)> {
    let file = fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

pub(super) fn instructions(name: &str) -> Vec<String> {
    dockerfile().into_iter().filter(|(instruction, _)| instruction == name).map(|(_, rest)| rest).collect()
}

/// The exec form of an instruction: a JSON list.
pub(super) fn words(instruction: &str) -> Vec<String> {
    let list = instruction.find('[').map(|start| &instruction[start..]).expect("the exec form");
    serde_json::from_str(list).unwrap()
}

/// rabbitmq.conf's value of `key`.
pub(super) fn rabbitmq_conf(key: &str) -> String {
    let text = fs::read_to_string(root().join("rabbitmq/rabbitmq.conf")).unwrap();
    let found = text.lines().filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key);
    found.unwrap_or_else(|| panic!("rabbitmq.conf has no {key}")).1.to_owned()
}

/// What dev/docker-secrets makes, by the file's name.
pub(super) fn made_secrets() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(root().join("dev/docker-secrets")).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let files = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect()
}

/// What a deployment's secrets hold, by their names.
pub(super) fn contents_of_secrets(yaml: &Value) -> BTreeMap<String, String> {
    let made = made_secrets();
    let secrets = yaml["secrets"].as_mapping().unwrap().iter();
    secrets.map(|(name, secret)| (text(name), made[secret_file(secret)].clone())).collect()
}

pub(super) fn secret_file(secret: &Value) -> &str {
    secret["file"].as_str().unwrap().strip_prefix(".gream/docker/").unwrap()
}

/// The configuration that a service's process would read.
pub(super) fn configuration_of(service: &Mapping, secrets: &BTreeMap<String, String>) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let mut variables = HashMap::new();
    for (key, value) in environment_of(service) {
        let value = match value.strip_prefix("/run/secrets/") {
            None => value,
            Some(name) => {
                let path = folder.path().join(name);
                fs::write(&path, &secrets[name]).unwrap();
                path.to_str().unwrap().to_owned()
            }
        };
        variables.insert(key, value);
    }
    Config::from_environment(variables).unwrap_or_else(|error| panic!("{error}"))
}
