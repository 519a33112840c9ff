//! Why the daemon does not run. A bottom module: it uses no other.

/// Why the daemon does not run, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DaemonError(pub String);

impl DaemonError {
    /// What was tried when the system failed.
    pub fn because(what: &str) -> impl Fn(std::io::Error) -> Self + '_ {
        move |error| Self(format!("{what}: {error}"))
    }
}
