//! Connecting, logging in, staying and going.

mod accounts;
mod deadlines;
mod devices;
mod encodings;
mod greeting;
mod tokens;
