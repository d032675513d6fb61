//! Holds `docker-compose.yml`, alone and with `deploy/ha/compose.yml` over it, and the `Dockerfile` to the code and the tree: no
//! engine runs here, so every image, port, variable, path and command that they name must be one that the code, the
//! configuration or the checkout knows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a failure here is a failed test")]

mod files;

use acceptance::{process::binary, servers::root};
use files::*;
use serde_yaml_ng::Mapping;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

/// What the issue names, and what the Dockerfile is built from. Another image is a decision, made here too.
const IMAGES: [&str; 9] = [
    "mysql:8.4",
    "mariadb:11.4",
    "haproxy:3.0",
    "rabbitmq:4-management",
    "redis:7",
    "rust:1-bookworm",
    "debian:bookworm-slim",
    "prom/prometheus:v3.5.0",
    "grafana/grafana:11.6.0",
];
/// Ports that the servers' images open by default.
const SERVER_PORTS: [(&str, u16); 5] =
    [("mysql", 3306), ("mariadb", 3306), ("redis", 6379), ("prometheus", 9090), ("grafana", 3000)];
const SENTINEL_PORT: u16 = 26379;

#[test]
fn every_image_is_one_we_decided_on() {
    for (name, service) in DEPLOYMENTS.into_iter().flat_map(|deployment| services(&compose(deployment, &[]))) {
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
    let yaml = compose(SINGLE, &[]);
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
fn every_role_has_a_service_and_two_of_it_where_nothing_may_stand_alone() {
    for deployment in DEPLOYMENTS {
        let yaml = compose(deployment, &[]);
        let replicas: BTreeMap<String, u64> = own_services(&yaml)
            .values()
            .map(|service| {
                let wanted = service.get("deploy").and_then(|deploy| deploy["replicas"].as_u64());
                (texts(service, "command").join(" "), wanted.unwrap_or(1))
            })
            .collect();
        assert_eq!(replicas["migrate"], 1);
        for needed in
            ["api", "worker bid", "worker payment", "worker refund", "worker relay", "worker notifier", "scheduler"]
        {
            assert!(replicas[needed] == 2 || deployment == SINGLE, "{needed}");
        }
    }
}

#[test]
fn every_variable_is_a_key_and_every_process_would_start_with_its_own() {
    let demo = demo_environment();
    let demo: Vec<(&str, &str)> = demo.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let modes = [(vec![], platform::config::Mode::Production), (demo, platform::config::Mode::Demo)];
    for (deployment, (environment, mode)) in DEPLOYMENTS.into_iter().flat_map(|d| modes.clone().map(|mode| (d, mode))) {
        let yaml = compose(deployment, &environment);
        let secrets = contents_of_secrets(&yaml);
        for (name, service) in own_services(&yaml) {
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

/// Each `host:port` of an address, which may list several.
fn hosts(address: &str) -> impl Iterator<Item = (&str, u16)> {
    address.split(',').map(|node| {
        let node = node.rsplit("://").next().unwrap().rsplit('@').next().unwrap();
        let (host, port) = node.split(['/', '#']).next().unwrap().split_once(':').unwrap();
        (host, port.parse().unwrap())
    })
}

/// Where a server's image listens.
fn port_of_server(service: &Mapping) -> u16 {
    let image = text(&service["image"]);
    let name = image.split(':').next().unwrap();
    match SERVER_PORTS.into_iter().find(|(known, _)| *known == name) {
        _ if texts(service, "command").iter().any(|word| word.contains("--sentinel")) => SENTINEL_PORT,
        Some((_, port)) => port,
        None if name == "rabbitmq" => rabbitmq_conf("listeners.tcp.default").parse().unwrap(),
        None => panic!("nobody speaks to {image} by an address of the configuration"),
    }
}

#[test]
fn addresses_name_services_and_ports_that_exist() {
    for (deployment, nodes) in [(SINGLE, 3), (CLUSTERS, 3 + 2 + 3 + 3)] {
        let yaml = compose(deployment, &[("GREAM_MODE", "demo"), ("GREAM_TOSS_BASE_URL", "http://toss-sandbox:8099")]);
        let services = services(&yaml);
        let config = configuration_of(&services["api"], &contents_of_secrets(&yaml));
        let database = &config.database;
        let servers = [&database.url, &database.replica_url, &config.rabbitmq.url, &config.redis.url];
        let servers: Vec<(&str, u16)> =
            servers.into_iter().map(platform::Secret::expose).filter(|url| !url.is_empty()).flat_map(hosts).collect();
        assert_eq!(servers.len(), nodes, "{servers:?}");
        for (host, port) in servers {
            assert_eq!(port_of_server(&services[host]), port, "{host}");
        }
        let sandbox = texts(&services["toss-sandbox"], "command");
        let option = |name: &str| sandbox.iter().skip_while(|word| *word != name).nth(1).unwrap();
        let own = BTreeMap::from([("toss-sandbox", port_of(option("--listen"))), ("api", config.http.listen.port())]);
        for (host, port) in [config.toss.base_url.as_str(), option("--webhooks")].into_iter().flat_map(hosts) {
            assert_eq!(own[host], port, "{host}");
        }
        // Inside a container, only what listens on all addresses can be reached.
        for address in [config.http.listen, config.admin.listen] {
            assert!(address.ip().is_unspecified(), "{address}");
        }
    }
}

#[test]
fn every_published_port_is_one_that_somebody_listens_on() {
    let yaml = compose(SINGLE, &[]);
    let config = configuration_of(&own_services(&yaml)["api"], &contents_of_secrets(&yaml));
    let page: u16 = rabbitmq_conf("management.tcp.port").parse().unwrap();
    let alone = BTreeMap::from([
        ("api", vec![config.http.listen.port(), config.admin.listen.port()]),
        ("rabbitmq", vec![page]),
        ("prometheus", vec![9090]),
        ("grafana", vec![3000]),
    ]);
    let balancer = fs::read_to_string(root().join("deploy/ha/haproxy.cfg")).unwrap();
    let binds =
        balancer.lines().filter_map(|line| line.trim().strip_prefix("bind :")).map(|port| port.parse().unwrap());
    let behind_haproxy =
        BTreeMap::from([("haproxy", binds.collect()), ("prometheus", vec![9090]), ("grafana", vec![3000])]);
    for (deployment, listening) in [(SINGLE, alone), (CLUSTERS, behind_haproxy)] {
        let mut published = BTreeSet::new();
        for (name, service) in services(&compose(deployment, &[])) {
            for port in texts(&service, "ports") {
                assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is for this machine only");
                assert!(listening[name.as_str()].contains(&port_of(&port)), "{name}: {port}");
                published.insert(port);
            }
        }
        assert_eq!(published.len(), listening.values().flatten().count());
    }
    let exposed: Vec<u16> = instructions("EXPOSE")[0].split(' ').map(|port| port.parse().unwrap()).collect();
    assert_eq!(exposed, [config.http.listen.port(), config.admin.listen.port()]);
    let health = words(&instructions("HEALTHCHECK")[0]);
    assert_eq!(health.last().unwrap(), &format!("http://127.0.0.1:{}/health/ready", config.admin.listen.port()));
}

fn mounts(service: &Mapping, target: &str) -> bool {
    texts(service, "volumes").iter().any(|volume| volume.contains(&format!(":{target}")))
}

#[test]
fn every_mounted_path_is_in_the_tree_or_made() {
    let definitions = rabbitmq_conf("load_definitions");
    for deployment in DEPLOYMENTS {
        let yaml = compose(deployment, &[]);
        let volumes: Vec<String> = yaml["volumes"].as_mapping().unwrap().keys().map(text).collect();
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
        let brokers: Vec<Mapping> =
            services(&yaml).into_values().filter(|service| mounts(service, "/etc/rabbitmq/rabbitmq.conf:ro")).collect();
        assert_eq!(brokers.len(), if deployment == SINGLE { 1 } else { 3 });
        for rabbitmq in brokers {
            assert!(mounts(&rabbitmq, "/etc/rabbitmq/enabled_plugins:ro"));
            assert_eq!(secrets_of(&rabbitmq)["rabbitmq_users"], format!("{definitions}/users.json"));
            // A node alone reads the queues when it starts; of a cluster's, none may.
            let reads_queues = mounts(&rabbitmq, &format!("{definitions}/topology.json:ro"));
            assert_eq!(reads_queues, deployment == SINGLE, "{definitions}");
        }
    }
}

#[test]
fn the_clusters_are_made_of_the_services_there_are() {
    let services = services(&compose(CLUSTERS, &[]));
    let hostnames = |image: &str, mounted: &str| -> BTreeSet<String> {
        let of_image = services.values().filter(|service| service["image"] == image && mounts(service, mounted));
        of_image.map(|service| text(&service["hostname"])).collect()
    };
    let conf = fs::read_to_string(root().join("deploy/ha/rabbitmq-cluster.conf")).unwrap();
    let nodes = conf.lines().filter_map(|line| Some(line.split_once("= rabbit@")?.1.to_owned())).collect();
    assert_eq!(hostnames("rabbitmq:4-management", "/etc/rabbitmq/conf.d/20-cluster.conf:ro"), nodes);
    let galera = fs::read_to_string(root().join("deploy/ha/galera.cnf")).unwrap();
    let address = galera.lines().find_map(|line| line.strip_prefix("wsrep_cluster_address = gcomm://")).unwrap();
    let nodes = address.split(',').map(ToOwned::to_owned).collect();
    assert_eq!(hostnames("mariadb:11.4", "/etc/mysql/conf.d/galera.cnf:ro"), nodes);
    let topology = &services["rabbitmq-topology"];
    let said = texts(topology, "entrypoint").join(" ");
    assert!(mounts(topology, "/gream/topology.json:ro") && said.contains("import_definitions /gream/topology.json"));
    for part in ["await_online_nodes 3", "/run/secrets/erlang_cookie"] {
        assert!(said.contains(part), "{part}");
    }
    let names = services.keys().map(String::as_str).collect::<BTreeSet<_>>();
    let balancer = fs::read_to_string(root().join("deploy/ha/haproxy.cfg")).unwrap();
    let servers = balancer.lines().filter_map(|line| line.trim().strip_prefix("server"));
    let servers: Vec<&str> = servers
        .filter_map(|line| line.split(' ').find_map(|word| word.split_once(':')))
        .map(|(host, _)| host)
        .collect();
    assert_eq!(servers, ["api", "api", "rabbitmq", "rabbitmq2", "rabbitmq3"]);
    assert!(servers.iter().all(|server| names.contains(server)));
    let file = root().join("deploy/ha/haproxy.cfg");
    let checked = Command::new("haproxy").arg("-c").arg("-f").arg(file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// The options with which a node of Galera would be started.
fn galera_node(state: Option<&str>, new_cluster: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    if let Some(state) = state {
        fs::write(folder.path().join("grastate.dat"), state).unwrap();
    }
    let entry = folder.path().join("docker-entrypoint.sh");
    fs::write(&entry, "#!/bin/sh\necho \"$@\"\n").unwrap();
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let started = Command::new("bash")
        .arg(root().join("deploy/ha/galera-node.sh"))
        .envs([("PATH", path.as_str()), ("GREAM_NEW_CLUSTER", new_cluster)])
        .env("GREAM_GALERA_DATA", folder.path())
        .output()
        .unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    String::from_utf8(started.stdout).unwrap()
}

#[test]
fn a_node_begins_a_cluster_only_where_nobody_can_know_more() {
    let state = |uuid: &str, seqno: &str, safe: u8| {
        format!("# GALERA saved state\nversion: 2.1\nuuid:    {uuid}\nseqno:   {seqno}\nsafe_to_bootstrap: {safe}\n")
    };
    let (known, nobody) = ("6b3ad5a4-c7f3-11f0-8c0e-5a7a1b2c3d4e", "00000000-0000-0000-0000-000000000000");
    let begins = |state: Option<&str>, new| galera_node(state, new).contains("--wsrep-new-cluster");
    assert!(galera_node(None, "no").starts_with("mariadbd --wsrep-node-name="));
    assert!(begins(None, "yes"), "told so, without data");
    assert!(!begins(None, "no"), "its disk may have been replaced");
    assert!(begins(Some(&state(known, "812", 1)), "no"), "the last one to leave in order");
    for new_cluster in ["yes", "no"] {
        assert!(!begins(Some(&state(known, "812", 0)), new_cluster), "others left later");
        assert!(!begins(Some(&state(known, "-1", 0)), new_cluster), "it crashed");
        assert!(!begins(Some(&state(nobody, "-1", 1)), new_cluster), "it never was in a cluster");
    }
}

#[test]
fn every_secret_is_made_and_used() {
    let made = made_secrets();
    for deployment in DEPLOYMENTS {
        let yaml = compose(deployment, &[]);
        let mut used = BTreeSet::new();
        for (name, service) in services(&yaml) {
            for secret in secrets_of(&service).into_keys() {
                assert!(yaml["secrets"].get(&secret).is_some(), "{name}: {secret}");
                used.insert(secret);
            }
        }
        for (name, secret) in yaml["secrets"].as_mapping().unwrap() {
            let file = secret_file(secret);
            assert!(made.contains_key(file), "dev/docker-secrets makes {file}");
            assert!(used.contains(&text(name)), "{name:?} is for nobody");
        }
    }
    let users: serde_json::Value = serde_json::from_str(&made["rabbitmq_users.json"]).unwrap();
    let password = users["users"][0]["password"].as_str().unwrap();
    for list in ["rabbitmq_url", "ha_rabbitmq_url"] {
        let mut nodes = made[list].split(',');
        assert!(nodes.all(|node| node.contains(&format!("gream:{password}@"))), "the application's own user");
    }
}

#[test]
fn the_start_is_ordered_and_can_end() {
    let in_image = !instructions("HEALTHCHECK").is_empty();
    for deployment in DEPLOYMENTS {
        let yaml = compose(deployment, &[]);
        let services = services(&yaml);
        for (name, service) in &services {
            let Some(dependencies) = service.get("depends_on") else { continue };
            for (other, condition) in dependencies.as_mapping().unwrap() {
                let other = text(other);
                let on =
                    services.get(&other).unwrap_or_else(|| panic!("{name} waits for {other}, which is no service"));
                match text(&condition["condition"]).as_str() {
                    "service_started" => assert_eq!(other, "mysql", "{name}"),
                    "service_healthy" => assert!(on.contains_key("healthcheck") || in_image, "{other} has no health"),
                    "service_completed_successfully" => {
                        assert!(["migrate", "rabbitmq-topology"].contains(&other.as_str()), "{other} never ends");
                    }
                    other => panic!("{name}: {other} is no condition"),
                }
            }
        }
        for (name, service) in own_services(&yaml) {
            let waits_for = |other: &str| service["depends_on"].get(other).is_some();
            match name.as_str() {
                "migrate" => assert!(waits_for("mysql") && !waits_for("migrate")),
                "toss-sandbox" => assert_eq!(texts(&service, "profiles"), ["demo"]),
                _ => {
                    assert!(waits_for("migrate") && waits_for("rabbitmq") && waits_for("redis"), "{name}");
                    assert!(waits_for("rabbitmq-topology") || deployment == SINGLE, "{name}");
                }
            }
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
    for (name, service) in own_services(&compose(SINGLE, &[])) {
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
