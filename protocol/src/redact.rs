//! The `Debug` of the four messages that hold a secret, so that no log line can print a password or a session token. It
//! must never show a secret or its length.

use std::fmt::{Debug, Formatter, Result};

use crate::v1::{Hello, LoginRequest, RegisterRequest, Session};

/// Says only whether the secret is there.
struct Secret<'a>(&'a str);

impl Debug for Secret<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(if self.0.is_empty() { "absent" } else { "hidden" })
    }
}

impl Debug for Hello {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter
            .debug_struct("Hello")
            .field("magic", &self.magic)
            .field("version_min", &self.version_min)
            .field("version_max", &self.version_max)
            .field("capabilities", &self.capabilities)
            .field("device", &self.device)
            .field("session_token", &Secret(&self.session_token))
            .field("client", &self.client)
            .finish()
    }
}

impl Debug for Session {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter
            .debug_struct("Session")
            .field("user", &self.user)
            .field("session_id", &self.session_id)
            .field("token", &Secret(&self.token))
            .field("epoch", &self.epoch)
            .finish()
    }
}

impl Debug for RegisterRequest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter
            .debug_struct("RegisterRequest")
            .field("name", &self.name)
            .field("password", &Secret(&self.password))
            .field("display_name", &self.display_name)
            .finish()
    }
}

impl Debug for LoginRequest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter
            .debug_struct("LoginRequest")
            .field("name", &self.name)
            .field("password", &Secret(&self.password))
            .finish()
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
