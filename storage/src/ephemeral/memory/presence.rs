//! Nodes and routes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crate::ephemeral::contract::{Heartbeat, Limits, Node, Route};
use crate::{SessionId, UserId};

#[derive(Debug, Default)]
pub(super) struct Routes {
    /// By name, with the time at which the node is gone without another heartbeat.
    nodes: BTreeMap<String, (Node, Instant)>,
    /// Routes, with the generation under which their node announced them.
    routes: HashMap<UserId, BTreeSet<(Route, u64)>>,
    /// By node: the generation under which routes are missing.
    missed: BTreeMap<String, u64>,
}

impl Routes {
    pub(super) fn heartbeat(&mut self, limits: &Limits, node: &Node, now: Instant) -> Heartbeat {
        let gone: Vec<Node> = self
            .nodes
            .values()
            .filter(|(_, until)| *until <= now)
            .map(|(node, _)| node.clone())
            .collect();
        for node in gone {
            self.leave(&node);
        }
        if self.nodes.len() >= limits.nodes_max && !self.nodes.contains_key(&node.name) {
            return Heartbeat::Unknown;
        }
        let entry = (node.clone(), now + limits.node_ttl);
        let before = self.nodes.insert(node.name.clone(), entry);
        // Unknown, or gone meanwhile: the routes that it announced under this generation may be lost.
        let missed = before.is_none().then_some(node.generation);
        let missed = missed.max(self.missed.get(&node.name).copied());
        if let Some(missed) = missed.filter(|missed| *missed >= node.generation) {
            self.missed.insert(node.name.clone(), missed);
            return Heartbeat::Repeat;
        }
        self.missed.remove(&node.name);
        if before.is_some_and(|(before, _)| before.generation < node.generation) {
            self.drop_routes(&node.name, node.generation);
        }
        Heartbeat::Kept
    }

    pub(super) fn leave(&mut self, node: &Node) {
        self.nodes.remove(&node.name);
        self.missed.remove(&node.name);
        self.drop_routes(&node.name, u64::MAX);
    }

    /// The routes of a node below this generation.
    fn drop_routes(&mut self, name: &str, below: u64) {
        self.routes.retain(|_, routes| {
            routes.retain(|(route, generation)| route.node != name || *generation >= below);
            !routes.is_empty()
        });
    }

    pub(super) fn announce(
        &mut self,
        limits: &Limits,
        node: &Node,
        sessions: &[(UserId, SessionId)],
    ) -> bool {
        let mut fitted = true;
        for (user, session) in sessions {
            if self.routes.len() >= limits.routed_users_max && !self.routes.contains_key(user) {
                fitted = false;
                continue;
            }
            let routes = self.routes.entry(*user).or_default();
            let entry = (route(node, *session), node.generation);
            if routes.len() < limits.routes_per_user_max || routes.contains(&entry) {
                routes.insert(entry);
            } else {
                fitted = false;
            }
        }
        fitted
    }

    pub(super) fn withdraw(&mut self, node: &Node, sessions: &[(UserId, SessionId)]) {
        for (user, session) in sessions {
            if let Some(routes) = self.routes.get_mut(user) {
                routes.remove(&(route(node, *session), node.generation));
                if routes.is_empty() {
                    self.routes.remove(user);
                }
            }
        }
    }

    pub(super) fn routes(&self, users: &[UserId], now: Instant) -> Vec<Vec<Route>> {
        let counts = |(route, generation): &(Route, u64)| {
            let node = self.nodes.get(&route.node);
            node.is_some_and(|(node, until)| now < *until && node.generation == *generation)
        };
        let of = |user| {
            let routes = self.routes.get(user).into_iter().flatten();
            routes
                .filter(|entry| counts(entry))
                .map(|(route, _)| route.clone())
                .collect()
        };
        users.iter().map(of).collect()
    }

    pub(super) fn nodes(&self, now: Instant) -> Vec<Node> {
        let living = self.nodes.values().filter(|(_, until)| now < *until);
        living.map(|(node, _)| node.clone()).collect()
    }
}

fn route(node: &Node, session: SessionId) -> Route {
    Route {
        node: node.name.clone(),
        session,
    }
}
