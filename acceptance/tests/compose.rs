//! Holds `docker-compose.yml` and the `Dockerfile` to the code and the tree: no engine runs here, so every image, port,
//! variable, path and command that they name must be one that the code, the configuration or the checkout knows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure here is a failed test")]

use acceptance::{process::binary, servers::root};
use platform::Config;
use serde_yaml_ng::{Mapping, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
    process::Command,
};

/// What the issue names, and what the Dockerfile is built from. Another image is a decision, made here too.
const IMAGES: [&str; 7] = [
    "mysql:8.4",
    "rabbitmq:4-management",
    "redis:7",
    "rust:1-bookworm",
    "debian:bookworm-slim",
    "prom/prometheus:v3.5.0",
    "grafana/grafana:11.6.0",
];
const OWN_IMAGE: &str = "gream:local";
/// Ports that the servers' images open by default.
const SERVER_PORTS: [(&str, u16); 4] = [("mysql", 3306), ("redis", 6379), ("prometheus", 9090), ("grafana", 3000)];

/// docker-compose.yml with anchors merged and `${NAME:-default}` filled in from `environment`.
fn compose(environment: &[(&str, &str)]) -> Value {
    let text = fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let mut yaml: Value = serde_yaml_ng::from_str(&interpolated(&text, environment)).unwrap();
    yaml.apply_merge().unwrap();
    yaml
}

fn interpolated(text: &str, environment: &[(&str, &str)]) -> String {
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
fn demo_environment() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("dev/docker-demo.env")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn services(yaml: &Value) -> BTreeMap<String, Mapping> {
    let services = yaml["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (text(name), service.as_mapping().unwrap().clone())).collect()
}

/// Those that run our own binary.
fn own_services(yaml: &Value) -> BTreeMap<String, Mapping> {
    services(yaml).into_iter().filter(|(_, service)| service["image"] == OWN_IMAGE).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value:?}")).to_owned()
}

/// A list of texts; nothing where there is no such key.
fn texts(service: &Mapping, key: &str) -> Vec<String> {
    service.get(key).map(|list| list.as_sequence().unwrap().iter().map(text).collect()).unwrap_or_default()
}

fn environment_of(service: &Mapping) -> BTreeMap<String, String> {
    let Some(variables) = service.get("environment") else { return BTreeMap::new() };
    variables.as_mapping().unwrap().iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// Each secret of a service, with the path it is mounted at.
fn secrets_of(service: &Mapping) -> BTreeMap<String, String> {
    let Some(list) = service.get("secrets") else { return BTreeMap::new() };
    let mounted = |secret: &Value| match secret {
        Value::String(name) => (name.clone(), format!("/run/secrets/{name}")),
        long => (text(&long["source"]), text(&long["target"])),
    };
    list.as_sequence().unwrap().iter().map(mounted).collect()
}

fn port_of(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap_or_else(|_| panic!("a port in {address}"))
}

/// The Dockerfile's instructions, continued lines joined: name and the rest.
fn dockerfile() -> Vec<(String, String)> {
    let file = fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn instructions(name: &str) -> Vec<String> {
    dockerfile().into_iter().filter(|(instruction, _)| instruction == name).map(|(_, rest)| rest).collect()
}

/// The exec form of an instruction: a JSON list.
fn words(instruction: &str) -> Vec<String> {
    let list = instruction.find('[').map(|start| &instruction[start..]).expect("the exec form");
    serde_json::from_str(list).unwrap()
}

/// rabbitmq.conf's value of `key`.
fn rabbitmq_conf(key: &str) -> String {
    let text = fs::read_to_string(root().join("rabbitmq/rabbitmq.conf")).unwrap();
    let found = text.lines().filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key);
    found.unwrap_or_else(|| panic!("rabbitmq.conf has no {key}")).1.to_owned()
}

/// What dev/docker-secrets makes, by name.
fn made_secrets() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(root().join("dev/docker-secrets")).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let files = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect()
}

/// The configuration that a service's process would read.
fn configuration_of(service: &Mapping, secrets: &BTreeMap<String, String>) -> Config {
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

#[test]
fn every_image_is_one_we_decided_on() {
    for (name, service) in services(&compose(&[])) {
        let image = text(&service["image"]);
        if image == OWN_IMAGE {
            assert_eq!(service["build"], ".", "{name} is built from the Dockerfile");
        } else {
            assert!(IMAGES.contains(&image.as_str()), "{name}: {image}");
        }
    }
    let stages = instructions("FROM");
    assert!(stages.len() >= 2, "the build stays out of the image");
    for stage in stages {
        assert!(IMAGES.contains(&stage.split(' ').next().unwrap()), "{stage}");
    }
}

#[test]
fn every_command_is_one_of_the_binary() {
    let yaml = compose(&[]);
    let mut commands: Vec<Vec<String>> =
        own_services(&yaml).values().map(|service| texts(service, "command")).collect();
    let health = words(&instructions("HEALTHCHECK")[0]);
    assert_eq!(health[0], "gream");
    commands.push(health[1..].to_vec());
    assert!(commands.contains(&vec!["worker".to_owned(), "refund".to_owned()]), "the sample is the real list");
    for command in &commands {
        assert!(accepts(command), "gream {command:?}");
    }
    let unknown = |words: &[&str]| !accepts(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert!(unknown(&["worker", "nobody"]) && unknown(&["serve"]) && unknown(&["sandbox", "--port", "1"]));
}

/// Whether the binary's parser takes it: `--help` at the end is answered only after everything before it was understood.
fn accepts(command: &[String]) -> bool {
    Command::new(binary()).args(command).arg("--help").output().unwrap().status.success()
}

#[test]
fn every_role_has_a_service() {
    let yaml = compose(&[]);
    let commands: BTreeSet<String> =
        own_services(&yaml).values().map(|service| texts(service, "command").join(" ")).collect();
    for needed in [
        "migrate",
        "api",
        "worker bid",
        "worker payment",
        "worker refund",
        "worker relay",
        "worker notifier",
        "scheduler",
    ] {
        assert!(commands.contains(needed), "{needed}");
    }
}

#[test]
fn every_variable_is_a_key_and_every_process_would_start_with_its_own() {
    let secrets = made_secrets();
    let demo = demo_environment();
    let demo: Vec<(&str, &str)> = demo.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    for (environment, mode) in [(vec![], platform::config::Mode::Production), (demo, platform::config::Mode::Demo)] {
        for (name, service) in own_services(&compose(&environment)) {
            let variables = environment_of(&service);
            assert!(variables.keys().all(|key| key.starts_with("GREAM__")), "{name}: {variables:?}");
            // Unknown keys and wrong values are refused here, as they would be at start.
            assert_eq!(configuration_of(&service, &secrets).mode, mode, "{name}");
            for path in variables.values().filter(|value| value.starts_with("/run/secrets/")) {
                assert!(secrets_of(&service).values().any(|mounted| mounted == path), "{name} mounts {path}");
            }
        }
    }
}

#[test]
fn addresses_name_services_and_ports_that_exist() {
    let yaml = compose(&[("GREAM_MODE", "demo"), ("GREAM_TOSS_BASE_URL", "http://toss-sandbox:8099")]);
    let secrets = made_secrets();
    let config = configuration_of(&own_services(&yaml)["api"], &secrets);
    let amqp: u16 = rabbitmq_conf("listeners.tcp.default").parse().unwrap();
    let sandbox = texts(&own_services(&yaml)["toss-sandbox"], "command");
    let option = |name: &str| sandbox.iter().skip_while(|word| *word != name).nth(1).unwrap();
    let own = [("toss-sandbox", port_of(option("--listen"))), ("api", config.http.listen.port())];
    let known: BTreeMap<&str, u16> = SERVER_PORTS.into_iter().chain([("rabbitmq", amqp)]).chain(own).collect();
    let servers = [config.database.url.expose(), config.rabbitmq.url.expose(), config.redis.url.expose()];
    for url in servers.into_iter().chain([config.toss.base_url.as_str(), option("--webhooks")]) {
        let address = url.split("://").nth(1).unwrap().rsplit('@').next().unwrap().split('/').next().unwrap();
        let (host, port) = address.split_once(':').unwrap();
        assert!(services(&yaml).contains_key(host), "{host}");
        assert_eq!(known.get(host).copied(), port.parse().ok(), "{host}");
    }
    // Inside a container, only what listens on all addresses can be reached.
    for address in [config.http.listen, config.admin.listen] {
        assert!(address.ip().is_unspecified(), "{address}");
    }
}

#[test]
fn every_published_port_is_one_that_somebody_listens_on() {
    let yaml = compose(&[]);
    let config = configuration_of(&own_services(&yaml)["api"], &made_secrets());
    let page: u16 = rabbitmq_conf("management.tcp.port").parse().unwrap();
    let listening = BTreeMap::from([
        ("api", vec![config.http.listen.port(), config.admin.listen.port()]),
        ("rabbitmq", vec![page]),
        ("prometheus", vec![9090]),
        ("grafana", vec![3000]),
    ]);
    let mut seen = 0;
    for (name, service) in services(&yaml) {
        for port in texts(&service, "ports") {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is for this machine only");
            assert!(listening[name.as_str()].contains(&port_of(&port)), "{name}: {port}");
            seen += 1;
        }
    }
    assert_eq!(seen, listening.values().flatten().count());
    let exposed: Vec<u16> = instructions("EXPOSE")[0].split(' ').map(|port| port.parse().unwrap()).collect();
    assert_eq!(exposed, [config.http.listen.port(), config.admin.listen.port()]);
    let health = words(&instructions("HEALTHCHECK")[0]);
    assert_eq!(health.last().unwrap(), &format!("http://127.0.0.1:{}/health/ready", config.admin.listen.port()));
}

#[test]
fn every_mounted_path_is_in_the_tree_or_made() {
    let yaml = compose(&[]);
    let volumes: Vec<String> = yaml["volumes"].as_mapping().unwrap().keys().map(text).collect();
    let definitions = rabbitmq_conf("load_definitions");
    for (name, service) in services(&yaml) {
        for volume in texts(&service, "volumes") {
            let (source, target) = volume.split_once(':').unwrap();
            match source.strip_prefix("./") {
                Some(path) => assert!(root().join(path).exists(), "{name}: {path}"),
                None => assert!(volumes.iter().any(|known| known == source), "{name}: volume {source}"),
            }
            assert!(target.starts_with('/'), "{name}: {target}");
        }
    }
    let rabbitmq = &services(&yaml)["rabbitmq"];
    let mounted = |target: &str| texts(rabbitmq, "volumes").iter().any(|volume| volume.contains(&format!(":{target}")));
    assert!(mounted("/etc/rabbitmq/rabbitmq.conf:ro") && mounted("/etc/rabbitmq/enabled_plugins:ro"));
    assert!(mounted(&format!("{definitions}/topology.json:ro")), "the broker reads its topology from {definitions}");
    assert_eq!(secrets_of(rabbitmq)["rabbitmq_users"], format!("{definitions}/users.json"));
}

#[test]
fn every_secret_is_made_and_used() {
    let yaml = compose(&[]);
    let made = made_secrets();
    let mut used = BTreeSet::new();
    for (name, service) in services(&yaml) {
        for secret in secrets_of(&service).into_keys() {
            assert!(yaml["secrets"].get(&secret).is_some(), "{name}: {secret}");
            used.insert(secret);
        }
    }
    for (name, secret) in yaml["secrets"].as_mapping().unwrap() {
        let file = text(&secret["file"]);
        let file = file.strip_prefix(".gream/docker/").unwrap();
        assert!(made.contains_key(file), "dev/docker-secrets makes {file}");
        assert!(used.contains(&text(name)), "{name:?} is for nobody");
    }
    let users: serde_json::Value = serde_json::from_str(&made["rabbitmq_users.json"]).unwrap();
    let password = users["users"][0]["password"].as_str().unwrap();
    assert!(made["rabbitmq_url"].contains(&format!("gream:{password}@")), "the application's own user");
}

#[test]
fn the_start_is_ordered_and_can_end() {
    let yaml = compose(&[]);
    let services = services(&yaml);
    let in_image = !instructions("HEALTHCHECK").is_empty();
    for (name, service) in &services {
        let Some(dependencies) = service.get("depends_on") else { continue };
        for (other, condition) in dependencies.as_mapping().unwrap() {
            let other = text(other);
            let on = services.get(&other).unwrap_or_else(|| panic!("{name} waits for {other}, which is no service"));
            match text(&condition["condition"]).as_str() {
                "service_healthy" => assert!(on.contains_key("healthcheck") || in_image, "{other} has no health"),
                "service_completed_successfully" => assert_eq!(texts(on, "command"), ["migrate"], "{other} never ends"),
                other => panic!("{name}: {other} is no condition"),
            }
        }
    }
    for (name, service) in own_services(&yaml) {
        let waits_for = |other: &str| service["depends_on"].get(other).is_some();
        match name.as_str() {
            "migrate" => assert!(waits_for("mysql") && !waits_for("migrate")),
            "toss-sandbox" => assert_eq!(texts(&service, "profiles"), ["demo"]),
            _ => assert!(waits_for("migrate") && waits_for("rabbitmq") && waits_for("redis"), "{name}"),
        }
    }
}

#[test]
fn the_image_is_small_and_without_rights() {
    let steps = dockerfile();
    let last_stage = steps.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let image = &steps[last_stage + 1..];
    let copies: Vec<&String> = image.iter().filter(|(name, _)| name == "COPY").map(|(_, rest)| rest).collect();
    assert_eq!(copies, ["--from=build /gream /usr/local/bin/gream"], "the binary and nothing else");
    assert!(
        steps[0].1.ends_with(" AS build") && steps.iter().any(|(_, rest)| rest.contains("/gream target/release/gream"))
    );
    let user = &image.iter().find(|(name, _)| name == "USER").expect("a user").1;
    assert!(user.parse::<u32>().expect("a number, so that an orchestrator can check it") > 0);
    assert_eq!(words(&instructions("ENTRYPOINT")[0]), ["gream"]);
    // Its folders exist, belong to that user, and are where the volumes are mounted.
    let made = &image.iter().find(|(name, _)| name == "RUN").unwrap().1;
    for (name, service) in own_services(&compose(&[])) {
        for volume in texts(&service, "volumes") {
            let target = volume.split_once(':').unwrap().1.to_owned();
            assert!(made.contains(&target), "{name}: {target}");
            let written = format!("{:?}{:?}", texts(&service, "command"), environment_of(&service));
            assert!(written.contains(&target), "{name} writes to {target}");
        }
    }
}

#[test]
fn the_build_does_not_see_this_machines_data() {
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    for path in [".gream", ".git", ".env", "**/target"] {
        assert!(ignored.lines().any(|line| line == path), "{path}");
    }
    for needed in ["Cargo.lock", "migrations", "rabbitmq/definitions.json"] {
        assert!(Path::new(&root()).join(needed).exists(), "{needed}");
    }
}
