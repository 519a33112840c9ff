//! End-to-end tests: the real binaries through real sockets, and the rules of the repository.

pub mod tidy;
