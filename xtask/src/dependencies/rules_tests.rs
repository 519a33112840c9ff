//! Each rule against a small invented workspace that breaks just that rule.

use super::*;
use serde_json::{Value, json};

/// A workspace in the making: what `cargo metadata` would print for it.
#[derive(Default)]
struct Metadata {
    packages: Vec<Value>,
    members: Vec<String>,
    nodes: Vec<Value>,
}

impl Metadata {
    /// One of ours, with the names it depends on.
    fn member(mut self, name: &str, below: &[&str]) -> Self {
        self.members.push(name.to_owned());
        self.package(name, Value::Null, json!("MIT OR Apache-2.0"), below, &Value::Null)
    }

    /// Somebody else's.
    fn foreign(self, name: &str, below: &[&str]) -> Self {
        self.package(name, json!(REGISTRY), json!("MIT"), below, &Value::Null)
    }

    fn package(mut self, name: &str, source: Value, license: Value, below: &[&str], kind: &Value) -> Self {
        self.packages.push(
            json!({"id": name, "name": name, "version": "1.0.0", "license": license, "source": source}),
        );
        let deps: Vec<Value> = below
            .iter()
            .map(|to| json!({"pkg": to, "dep_kinds": [{"kind": kind}]}))
            .collect();
        self.nodes.push(json!({"id": name, "deps": deps}));
        self
    }

    fn violations(self) -> Vec<String> {
        all(&self.graph())
    }

    fn graph(self) -> Graph {
        let json = json!({
            "packages": self.packages,
            "workspace_members": self.members,
            "resolve": {"nodes": self.nodes},
        });
        Graph::parse(&json.to_string()).expect("well-formed")
    }
}

#[test]
fn the_layers_as_designed_pass() {
    let metadata = Metadata::default()
        .member("netcore", &["mio"])
        .member("protocol", &["netcore"])
        .member("storage", &["postgres"])
        .member("imserver", &["netcore", "protocol", "storage"])
        .foreign("mio", &[])
        .foreign("postgres", &["tokio"])
        .foreign("tokio", &[]);
    assert_eq!(metadata.violations(), Vec::<String>::new());
}

#[test]
fn an_arrow_the_wrong_way_is_found_even_in_tests() {
    let metadata = Metadata::default()
        .member("netcore", &[])
        .member("storage", &["netcore"]);
    assert_eq!(metadata.violations(), ["storage must not depend on netcore"]);

    let mut metadata = Metadata::default().member("netcore", &[]);
    metadata.members.push("storage".to_owned());
    let metadata = metadata.package("storage", Value::Null, json!("MIT"), &["netcore"], &json!("dev"));
    assert_eq!(metadata.violations(), ["storage must not depend on netcore"]);
}

#[test]
fn an_unknown_crate_of_ours_is_found() {
    let violations = Metadata::default().member("helpers", &[]).violations();
    assert_eq!(
        violations,
        ["package helpers has no place among the layers (ARROWS in xtask)"]
    );
}

#[test]
fn a_runtime_is_found_with_the_way_to_it() {
    let metadata = Metadata::default()
        .member("imserver", &["nice"])
        .foreign("nice", &["tokio"])
        .foreign("tokio", &[]);
    assert_eq!(
        metadata.violations(),
        ["an asynchronous runtime is reached: imserver -> nice -> tokio"]
    );
}

#[test]
fn only_the_postgresql_client_of_the_store_may_hide_a_runtime() {
    let metadata = Metadata::default()
        .member("netcore", &["postgres"])
        .foreign("postgres", &["tokio"])
        .foreign("tokio", &[]);
    assert_eq!(
        metadata.violations(),
        ["an asynchronous runtime is reached: netcore -> postgres -> tokio"]
    );

    let metadata = Metadata::default()
        .member("storage", &["postgres", "redis"])
        .foreign("postgres", &["tokio"])
        .foreign("redis", &["tokio"])
        .foreign("tokio", &[]);
    assert_eq!(
        metadata.violations(),
        ["an asynchronous runtime is reached: storage -> redis -> tokio"]
    );
}

#[test]
fn a_runtime_used_only_while_building_is_nobody_s_business() {
    let mut metadata = Metadata::default().foreign("tokio", &[]);
    metadata.members.push("protocol".to_owned());
    let metadata = metadata.package("protocol", Value::Null, json!("MIT"), &["tokio"], &json!("build"));
    assert_eq!(metadata.violations(), Vec::<String>::new());
}

#[test]
fn sources_other_than_the_registry_are_found() {
    let metadata = Metadata::default().member("netcore", &["forked", "beside"]);
    let metadata = metadata.package(
        "forked",
        json!("git+https://example.org/forked"),
        json!("MIT"),
        &[],
        &Value::Null,
    );
    let metadata = metadata.package("beside", Value::Null, json!("MIT"), &[], &Value::Null);
    assert_eq!(
        metadata.violations(),
        [
            "beside 1.0.0 comes from a path outside the workspace",
            "forked 1.0.0 comes from git+https://example.org/forked"
        ]
    );
}

#[test]
fn licences_outside_the_list_are_found() {
    let metadata = Metadata::default()
        .member("netcore", &["copyleft", "silent"])
        .package(
            "copyleft",
            json!(REGISTRY),
            json!("GPL-3.0-only"),
            &[],
            &Value::Null,
        )
        .package("silent", json!(REGISTRY), Value::Null, &[], &Value::Null);
    assert_eq!(
        metadata.violations(),
        [
            "copyleft 1.0.0 is licensed GPL-3.0-only",
            "silent 1.0.0 names no licence"
        ]
    );
}

#[test]
fn packages_that_nothing_uses_are_not_judged() {
    let metadata = Metadata::default().member("netcore", &[]).package(
        "elsewhere",
        json!(REGISTRY),
        json!("GPL-3.0-only"),
        &[],
        &Value::Null,
    );
    assert_eq!(metadata.violations(), Vec::<String>::new());
}

#[test]
fn duplicates_are_listed_with_their_versions() {
    let mut metadata = Metadata::default().member("netcore", &["syn-1", "syn-2"]);
    for (id, version) in [("syn-1", "1.0.0"), ("syn-2", "2.0.0")] {
        metadata
            .packages
            .push(json!({"id": id, "name": "syn", "version": version, "license": "MIT", "source": REGISTRY}));
    }
    assert_eq!(metadata.graph().duplicates(), ["syn: 1.0.0, 2.0.0"]);
}

#[test]
fn the_event_loop_is_found_by_its_whole_name() {
    assert_eq!(
        event_loop(
            "protocol",
            "protocol v0.1.0 (/w/protocol)\nmio-like v1.0.0\nbytes v1.2.0 (*)\n"
        ),
        None
    );
    assert!(event_loop("protocol", "protocol v0.1.0\nnetcore v0.1.0\nmio v1.2.0\n").is_some());
}
