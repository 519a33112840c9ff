//! `status`: how the daemon is.

use serde_json::Value;

use crate::observed::Observed;

pub(super) fn answer(observed: &Observed) -> Result<Value, String> {
    serde_json::to_value(observed.status()).map_err(|error| error.to_string())
}
