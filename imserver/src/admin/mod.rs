//! The admin listener: metrics for Prometheus, the status, and the two questions that a supervisor or load balancer has,
//! over HTTP on an address of their own. It must never change anything, and nobody's chat goes through it.

mod answer;
mod server;

pub(crate) use server::Admin;
