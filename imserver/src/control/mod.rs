//! The control socket: a Unix socket through which commands of the same program reach a running daemon. A line is a
//! request in JSON, and is answered with a line.
//!
//! Whoever may open the socket may do everything: its file is for its owner alone, and processes of other users are
//! turned away whatever its mode. A command is one file here, with a variant of [`Request`]. It must never be needed:
//! a daemon without it serves all the same.

mod client;
mod metrics;
mod server;
mod status;
mod whereabouts;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::observed::Observed;

pub(crate) use client::{AskError, ask};
pub(crate) use server::Control;

/// Bytes of a line, at most; an answer is longer than any request.
const LINE_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// What a daemon can be asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub(crate) enum Request {
    /// How it is: a [`Status`](crate::status::Status).
    Status,
    /// What it has counted, as text for Prometheus.
    Metrics,
    /// Where users are connected: a [`Whereabouts`](crate::status::Whereabouts).
    Where {
        /// Each as a name, or as `#ID`.
        users: Vec<String>,
    },
}

/// What it answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    /// What was asked for.
    Ok(Value),
    /// Why not, in one sentence.
    Error(String),
}

impl Request {
    /// Carries a request out.
    fn answer(self, observed: &Observed) -> Response {
        let answer = match self {
            Self::Status => status::answer(observed),
            Self::Metrics => metrics::answer(observed),
            Self::Where { users } => whereabouts::answer(observed, users),
        };
        match answer {
            Ok(value) => Response::Ok(value),
            Err(why) => Response::Error(why),
        }
    }
}

/// Answers a line with a line.
fn answer_line(line: &[u8], observed: &Observed) -> Vec<u8> {
    let response = match serde_json::from_slice::<Request>(line) {
        Ok(request) => request.answer(observed),
        Err(error) => Response::Error(format!("this is no request: {error}")),
    };
    serde_json::to_vec(&response).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_are_lines_of_json() {
        let written = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(written(&Request::Status), r#"{"command":"status"}"#);
        let users = vec!["#7".to_owned()];
        let line = r##"{"command":"where","users":["#7"]}"##;
        assert_eq!(written(&Request::Where { users }), line);
        let response = Response::Error("two\nlines".to_owned());
        let line = serde_json::to_string(&response).unwrap();
        assert_eq!(line, r#"{"error":"two\nlines"}"#);
        assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), response);
        let unknown = serde_json::from_str::<Request>(r#"{"command":"sing"}"#);
        assert!(
            unknown
                .unwrap_err()
                .to_string()
                .contains("unknown variant `sing`")
        );
    }
}
