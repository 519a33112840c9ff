//! The full-screen chat.
use crate::{context::Context, failure::Failure};
pub(crate) fn run(_context: &mut Context) -> Result<(), Failure> {
    Ok(())
}
