//! `metrics`: what the daemon has counted.

use serde_json::Value;

use crate::{metrics::Format, observed::Observed};

pub(super) fn answer(observed: &Observed) -> Result<Value, String> {
    Ok(Value::String(observed.metrics().write(Format::Text)))
}
