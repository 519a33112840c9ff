//! What the admin listener answers to whom. It decides from the head of a request alone; what it needs of the daemon
//! comes through [`Source`].

use netcore::http::{Head, Status, field};

use crate::metrics::Format;

/// What answers are made from.
pub(super) trait Source {
    /// All metrics.
    fn metrics(&mut self, format: Format) -> String;
    /// The status, as JSON.
    fn status(&mut self) -> String;
    /// Whether the daemon can serve; otherwise why not, in a word or two.
    fn readiness(&mut self) -> Result<(), String>;
}

/// An answer.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Answer {
    fn text(status: Status, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: body.into() + "\n",
        }
    }
}

/// Answers a request. With a token, metrics and status are for whoever has it; without one, for whoever named this
/// listener by a loopback address or name: a page on the web whose name was made to lead here names itself.
pub(super) fn answer(head: &Head, token: Option<&str>, source: &mut dyn Source) -> Answer {
    if !matches!(head.method(), "GET" | "HEAD") {
        return Answer::text(Status::METHOD_NOT_ALLOWED, "only GET and HEAD");
    }
    match head.path() {
        "/healthz" => Answer::text(Status::OK, "ok"),
        "/readyz" => match source.readiness() {
            Ok(()) => Answer::text(Status::OK, "ready"),
            Err(why) => Answer::text(Status::SERVICE_UNAVAILABLE, why),
        },
        "/metrics" | "/debug/status" => match token {
            Some(token) if !has_token(head, token) => {
                Answer::text(Status::UNAUTHORIZED, "the token is missing or wrong")
            }
            None if !names_loopback(head) => Answer::text(
                Status::FORBIDDEN,
                "ask for it by a loopback address, or set admin.token_file",
            ),
            Some(_) | None if head.path() == "/metrics" => {
                let accept = head.header("accept").unwrap_or_default();
                let format = Format::accepted(&String::from_utf8_lossy(accept));
                Answer {
                    status: Status::OK,
                    content_type: format.content_type(),
                    body: source.metrics(format),
                }
            }
            Some(_) | None => Answer {
                status: Status::OK,
                content_type: JSON,
                body: source.status(),
            },
        },
        _ => Answer::text(
            Status::NOT_FOUND,
            "there are /metrics, /debug/status, /healthz and /readyz",
        ),
    }
}

fn names_loopback(head: &Head) -> bool {
    let host = head.host().and_then(|host| field::Host::parse(host.as_bytes()));
    // HTTP/1.0 knows no hosts, and no browser speaks it.
    host.is_none_or(|host| host.is_loopback())
}

/// Compares in a time that does not tell where they differ.
fn has_token(head: &Head, token: &str) -> bool {
    let given = head
        .header("authorization")
        .and_then(field::bearer)
        .unwrap_or_default();
    let differing = given
        .bytes()
        .zip(token.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use netcore::{
        codec::{Codec, Decoded},
        http::{Incoming, RequestLimits, Requests},
    };

    use super::*;

    struct Fixed {
        ready: Result<(), String>,
    }

    impl Source for Fixed {
        fn metrics(&mut self, format: Format) -> String {
            format!("{format:?}")
        }

        fn status(&mut self) -> String {
            "{}".to_owned()
        }

        fn readiness(&mut self) -> Result<(), String> {
            self.ready.clone()
        }
    }

    fn ask(first: &str, headers: &str, token: Option<&str>, ready: Result<(), String>) -> (u16, String) {
        let bytes = format!("{first} HTTP/1.1\r\n{headers}\r\n");
        let mut requests = Requests::new(RequestLimits::default());
        let Decoded::Frame {
            frame: Incoming::Request(request),
            ..
        } = requests.decode(bytes.as_bytes()).unwrap()
        else {
            panic!("{bytes} is no whole request");
        };
        let answer = answer(&request.head, token, &mut Fixed { ready });
        (answer.status.code(), answer.body)
    }

    #[test]
    fn each_path_has_its_answer() {
        let host = "Host: 127.0.0.1:9100\r\n";
        let get = |path: &str, headers: &str| {
            ask(&format!("GET {path}"), &format!("{host}{headers}"), None, Ok(()))
        };
        assert_eq!(get("/metrics", ""), (200, "Text".to_owned()));
        let open = "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n";
        assert_eq!(get("/metrics?x=1", open), (200, "OpenMetrics".to_owned()));
        assert_eq!(get("/debug/status", ""), (200, "{}".to_owned()));
        assert_eq!(get("/healthz", "").0, 200);
        assert_eq!(get("/readyz", ""), (200, "ready\n".to_owned()));
        assert_eq!(get("/", "").0, 404);
        assert_eq!(get("/metrics/", "").0, 404);
        assert_eq!(ask("POST /metrics", host, None, Ok(())).0, 405);
        assert_eq!(ask("HEAD /metrics", host, None, Ok(())).0, 200);
        let draining = ask("GET /readyz", host, None, Err("draining".to_owned()));
        assert_eq!(draining, (503, "draining\n".to_owned()));
        assert_eq!(ask("GET /healthz", host, None, Err("draining".to_owned())).0, 200);
    }

    #[test]
    fn what_is_counted_is_for_whoever_has_the_token_or_named_loopback() {
        for path in ["/metrics", "/debug/status"] {
            let get = |headers: &str, token| ask(&format!("GET {path}"), headers, token, Ok(())).0;
            assert_eq!(get("Host: localhost\r\n", None), 200);
            assert_eq!(get("Host: [::1]:9100\r\n", None), 200);
            assert_eq!(
                get("Host: evil.example\r\n", None),
                403,
                "its name was made to lead here"
            );
            let host = "Host: chat.example\r\n";
            let with = |value: &str| format!("{host}Authorization: {value}\r\n");
            assert_eq!(get(host, Some("secret")), 401);
            assert_eq!(get(&with("Bearer secret"), Some("secret")), 200);
            for wrong in ["Bearer secre", "Bearer secrets", "Bearer Secret", "Basic secret"] {
                assert_eq!(get(&with(wrong), Some("secret")), 401, "{wrong}");
            }
        }
        // These tell nothing.
        let health = ask("GET /healthz", "Host: chat.example\r\n", Some("secret"), Ok(()));
        assert_eq!(health.0, 200);
    }
}
