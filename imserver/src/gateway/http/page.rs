//! What is there for anybody: the pages, what probes ask, and the description of the calls. It must never tell anything
//! of a user.

use std::{
    hash::{DefaultHasher, Hasher},
    io::Write,
    sync::{LazyLock, atomic::Ordering},
};

use flate2::{Compression, write::GzEncoder};
use netcore::{
    Flow,
    http::{
        Head, Status,
        field::{self, Host},
    },
};

use super::answer::{Content, respond, respond_json, status_of};
use crate::gateway::handler::{Cx, Gateway};

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Page {
    /// The process turns.
    Health,
    /// It can serve.
    Ready,
    /// A file that was built in.
    File(&'static File),
}

/// A file that was built in.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct File {
    path: &'static str,
    content_type: &'static str,
    /// As it is.
    plain: &'static [u8],
    /// The same in gzip; empty if that saves nothing.
    gzip: &'static [u8],
    /// Names the contents.
    etag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Where the description of the calls is.
const DESCRIPTION_PATH: &str = "/v1/openapi.json";

/// The description of the calls. Made when somebody asks for it first, which takes some milliseconds.
static DESCRIPTION: LazyLock<File> = LazyLock::new(|| {
    let document = protocol::openapi::document(|code| status_of(code).code());
    let plain = document.to_string().into_bytes().leak();
    let mut hasher = DefaultHasher::new();
    hasher.write(plain);
    File {
        path: DESCRIPTION_PATH,
        content_type: "application/json",
        gzip: compressed(plain).leak(),
        etag: format!("\"{:016x}\"", hasher.finish()).leak(),
        plain,
    }
});

/// In gzip; empty if that fails, and then nobody gets it so.
fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// What the pages may do: nothing from elsewhere, no script within a page, no frame around it.
const POLICY: (&str, &str) = (
    "Content-Security-Policy",
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
);

impl Page {
    /// What is at a path.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            DESCRIPTION_PATH => Some(Self::File(&DESCRIPTION)),
            _ => FILES.iter().find(|file| file.path == path).map(Self::File),
        }
    }
}

impl Gateway {
    pub(super) fn page(&self, cx: &mut Cx<'_>, page: Page, head: &Head) -> Flow<Self> {
        match page {
            Page::Health => respond_json(cx, Status::OK, &[], b"{\"status\":\"ok\"}"),
            Page::Ready => {
                let (status, body): (_, &[u8]) = if self.shared.draining.load(Ordering::Relaxed) {
                    (Status::SERVICE_UNAVAILABLE, b"{\"status\":\"draining\"}")
                } else {
                    (Status::OK, b"{\"status\":\"ok\"}")
                };
                respond_json(cx, status, &[], body);
            }
            // A page that came in the clear could be anybody's, and would ask for passwords.
            Page::File(_) if !self.terms.takes_passwords(&cx.peer(), cx.is_encrypted()) => {
                respond_elsewhere(cx, head);
            }
            Page::File(file) => respond_file(cx, file, head),
        }
        Flow::Continue
    }
}

/// Sends a browser to the same place behind TLS: one port takes both.
fn respond_elsewhere(cx: &mut Cx<'_>, head: &Head) {
    let host = head.header("host").and_then(Host::parse);
    let Some(Host { name, port }) = host else {
        let body = b"{\"status\":\"connect with https\"}";
        return respond_json(cx, Status::BAD_REQUEST, &[], body);
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let location = format!("https://{name}{port}{}", head.path());
    let content = Content {
        headers: &[("Location", location.as_str()), ("Cache-Control", "no-store")],
        body: b"",
    };
    respond(cx, Status::PERMANENT_REDIRECT, &content);
}

fn respond_file(cx: &mut Cx<'_>, file: &File, head: &Head) {
    let is_known = head
        .values("if-none-match")
        .flat_map(field::list)
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == file.etag.as_bytes());
    let coding = head
        .header("accept-encoding")
        .and_then(|value| field::accepted_coding(value, &["gzip"]))
        .filter(|_| !file.gzip.is_empty());
    let mut headers = vec![
        ("Content-Type", file.content_type),
        // It is asked each time whether the file is another, so that an update is seen at once.
        ("Cache-Control", "no-cache"),
        ("ETag", file.etag),
        ("Vary", "Accept-Encoding"),
        POLICY,
        ("Referrer-Policy", "no-referrer"),
    ];
    let (status, body) = match (is_known, coding) {
        (true, _) => (Status::NOT_MODIFIED, &b""[..]),
        (false, Some(coding)) => {
            headers.push(("Content-Encoding", coding));
            (Status::OK, file.gzip)
        }
        (false, None) => (Status::OK, file.plain),
    };
    respond(
        cx,
        status,
        &Content {
            headers: &headers,
            body,
        },
    );
}
