//! What the dependency tree must look like. Every rule returns its violations as sentences.

use super::graph::{Graph, Package};
use super::licence;

/// Which of our crates may depend on which of our crates, in any way. The layers of the design: a new arrow is a
/// decision, made here. `services` is for tests: a dependency on it is one of `[dev-dependencies]`.
const ARROWS: [(&str, &[&str]); 16] = [
    ("netcore", &[]),
    ("services", &[]),
    ("pool", &["services"]),
    ("storage", &["pool", "services"]),
    ("xtask", &["services"]),
    ("protocol", &["netcore"]),
    ("client", &["protocol"]),
    (
        "imserver",
        &["netcore", "pool", "protocol", "services", "storage"],
    ),
    ("examples", &["client", "netcore", "protocol"]),
    ("fuzz", &["client", "netcore", "protocol", "storage"]),
    (
        "bench",
        &["client", "imserver", "netcore", "protocol", "services", "storage"],
    ),
    ("bench-compare", &["bench-netcore", "netcore"]),
    ("bench-netcore", &["netcore"]),
    ("bench-relay", &["bench-netcore", "netcore"]),
    (
        "disk",
        &["client", "netcore", "protocol", "services", "storage", "tests"],
    ),
    (
        "tests",
        &["client", "imserver", "netcore", "protocol", "services", "storage"],
    ),
];

/// Crates that run futures.
const RUNTIMES: [&str; 10] = [
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "futures-executor",
    "glommio",
    "monoio",
    "smol",
    "tokio",
    "tokio-uring",
];

/// Which of our crates must run without such a crate, and below which packages one is a private matter: the
/// synchronous PostgreSQL client drives a runtime of its own inside, and its encryption speaks that one's traits.
const WITHOUT_RUNTIME: [(&str, &[&str]); 5] = [
    ("netcore", &[]),
    ("pool", &[]),
    ("protocol", &[]),
    ("storage", &["postgres", "tokio-postgres-rustls"]),
    ("imserver", &["postgres", "tokio-postgres-rustls"]),
];

/// The event loop that clients and fuzzers must not pull in.
const EVENT_LOOP: &str = "mio";

/// The only place that packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Everything that can be seen in the graph.
pub(super) fn all(graph: &Graph) -> Vec<String> {
    let mut violations = arrows(graph);
    violations.extend(runtimes(graph));
    for package in graph.packages() {
        violations.extend(source(package));
        violations.extend(licence(package));
    }
    violations
}

fn arrows(graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for package in graph.packages().filter(|package| package.member) {
        let name = package.name.as_str();
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            violations.push(format!(
                "package {name} has no place among the layers (ARROWS in xtask)"
            ));
            continue;
        };
        for below in graph.members_below(package) {
            if !allowed.contains(&below) {
                violations.push(format!("{name} must not depend on {below}"));
            }
        }
    }
    violations
}

fn runtimes(graph: &Graph) -> Vec<String> {
    let ways = WITHOUT_RUNTIME
        .iter()
        .filter_map(|(name, except)| graph.way(name, &RUNTIMES, except));
    ways.map(|way| format!("an asynchronous runtime is reached: {}", way.join(" -> ")))
        .collect()
}

fn source(package: &Package) -> Option<String> {
    let (name, version) = (&package.name, &package.version);
    match package.source.as_deref() {
        Some(REGISTRY) => None,
        None if package.member => None,
        None => Some(format!(
            "{name} {version} comes from a path outside the workspace"
        )),
        Some(other) => Some(format!("{name} {version} comes from {other}")),
    }
}

fn licence(package: &Package) -> Option<String> {
    let (name, version) = (&package.name, &package.version);
    match package.licence.as_deref() {
        Some(expression) if licence::allowed(expression) => None,
        Some(expression) => Some(format!("{name} {version} is licensed {expression}")),
        None => Some(format!("{name} {version} names no licence")),
    }
}

/// Looks for the event loop in what `cargo tree --prefix none --format {p}` printed for `package`.
pub(super) fn event_loop(package: &str, tree: &str) -> Option<String> {
    let found = tree
        .lines()
        .any(|line| line.split_whitespace().next() == Some(EVENT_LOOP));
    found
        .then(|| format!("{package} must not pull in {EVENT_LOOP} (cargo tree -p {package} -i {EVENT_LOOP})"))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
