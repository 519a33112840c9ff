//! `[tls]`: the certificate of this server, and what may be said without one.

use std::path::PathBuf;

use super::{ConfigError, section::section};

section! {
    /// encrypted connections
    pub struct Tls in [tls] {
        /// PEM: the server's certificate, then those that lead to a known authority; looked at for changes; empty: no TLS
        certificate: PathBuf = PathBuf::new(), taken by SIGHUP;
        /// PEM: the private key of the first of them
        key: PathBuf = PathBuf::new(), taken by SIGHUP;
        /// where clients choose whether to encrypt, take passwords in the clear from other machines too
        cleartext_passwords: bool = false, taken by SIGHUP;
    }
}

impl Tls {
    /// Whether there is a certificate.
    pub fn is_configured(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    /// What no range says.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.is_configured() == self.key.as_os_str().is_empty() {
            return Err(ConfigError::Refused(
                "tls.certificate and tls.key go together: name both files, or none".to_owned(),
            ));
        }
        Ok(())
    }
}
