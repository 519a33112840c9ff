//! What a server can do to those who rely on it.
