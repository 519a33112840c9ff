//! `[cluster]`: how nodes work together.

use super::section::section;

section! {
    /// how several nodes work together
    pub struct Cluster in [cluster] {
        /// where clients reach this node; empty: the address it listens on
        advertise: String = String::new();
        /// how long another node's commit may stay unseen when no hint comes; milliseconds
        follow_ms: u64 = 500, in 10..=10_000;
    }
}
