//! The dependency graph as `cargo metadata` describes it. It must never judge: the rules do.

use crate::process::{Failure, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A package of the graph.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name, which is not unique.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Its licence expression, if it declares one.
    pub(super) licence: Option<String>,
    /// Where it was fetched from; nothing for a path.
    pub(super) source: Option<String>,
    /// Whether it is one of ours.
    pub(super) member: bool,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    to: String,
    /// Whether it is there when the product runs, not only while it is built or tested.
    normal: bool,
}

/// All packages, by cargo's unique id.
#[derive(Debug)]
pub(super) struct Graph(BTreeMap<String, Package>);

impl Graph {
    /// Reads the output of `cargo metadata --format-version=1`.
    pub(super) fn parse(json: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(json)
            .map_err(|error| Failure::new(format!("cargo metadata is not as expected: {error}")))?;
        let mut edges: BTreeMap<String, Vec<Edge>> = BTreeMap::new();
        for node in metadata.resolve.nodes {
            edges.insert(node.id, node.deps.into_iter().map(Edge::from).collect());
        }
        let packages = metadata.packages.into_iter().map(|package| {
            let resolved = Package {
                member: metadata.workspace_members.contains(&package.id),
                edges: edges.remove(&package.id).unwrap_or_default(),
                name: package.name,
                version: package.version,
                licence: package.license,
                source: package.source,
            };
            (package.id, resolved)
        });
        Ok(Self(packages.collect()))
    }

    /// Every package that is really used: the metadata also lists those of other platforms.
    pub(super) fn packages(&self) -> impl Iterator<Item = &Package> {
        let mut used: BTreeSet<&str> = BTreeSet::new();
        let members = self.0.iter().filter(|(_, package)| package.member);
        let mut next: Vec<&str> = members.map(|(id, _)| id.as_str()).collect();
        while let Some(id) = next.pop() {
            if used.insert(id) {
                next.extend(self.edges(id).map(|edge| edge.to.as_str()));
            }
        }
        self.0
            .iter()
            .filter(move |(id, _)| used.contains(id.as_str()))
            .map(|(_, package)| package)
    }

    /// The names of our own packages that our package `name` depends on in any way.
    pub(super) fn members_below(&self, package: &Package) -> BTreeSet<&str> {
        let targets = package.edges.iter().filter_map(|edge| self.0.get(&edge.to));
        targets
            .filter(|target| target.member)
            .map(|target| target.name.as_str())
            .collect()
    }

    /// The shortest way from our package `from` to one of `targets` at run time, as names, not looking below the
    /// packages `except`.
    pub(super) fn way(&self, from: &str, targets: &[&str], except: &[&str]) -> Option<Vec<&str>> {
        let start = self
            .0
            .iter()
            .find(|(_, package)| package.member && package.name == from)?
            .0
            .as_str();
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            let name = self.0.get(id)?.name.as_str();
            if targets.contains(&name) {
                return Some(self.way_back(id, &came_from));
            }
            if except.contains(&name) {
                continue;
            }
            for edge in self.edges(id).filter(|edge| edge.normal) {
                if edge.to != start && !came_from.contains_key(edge.to.as_str()) {
                    came_from.insert(&edge.to, id);
                    queue.push_back(&edge.to);
                }
            }
        }
        None
    }

    fn way_back<'a>(&'a self, mut id: &'a str, came_from: &BTreeMap<&'a str, &'a str>) -> Vec<&'a str> {
        let mut names = Vec::new();
        loop {
            names.extend(self.0.get(id).map(|package| package.name.as_str()));
            match came_from.get(id) {
                Some(before) => id = before,
                None => break,
            }
        }
        names.reverse();
        names
    }

    /// Names that occur in several versions, with the versions.
    pub(super) fn duplicates(&self) -> Vec<String> {
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in self.packages() {
            versions.entry(&package.name).or_default().push(&package.version);
        }
        let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
        several
            .map(|(name, versions)| format!("{name}: {}", versions.join(", ")))
            .collect()
    }

    fn edges(&self, id: &str) -> impl Iterator<Item = &Edge> {
        self.0.get(id).into_iter().flat_map(|package| &package.edges)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<RawPackage>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `null` for a normal dependency.
    kind: Option<String>,
}

impl From<Dependency> for Edge {
    fn from(dependency: Dependency) -> Self {
        Self {
            normal: dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()),
            to: dependency.pkg,
        }
    }
}
