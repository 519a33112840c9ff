//! What a request is answered with: the frame of the session machine as a response, and the statuses of refusals.

use std::time::SystemTime;

use bytes::Bytes;
use netcore::{
    CloseHow, Flow, SendError,
    http::{self, Body, Date, Persistence, Response, Status},
};
use protocol::{
    Encoding, MessageType, Refusal, text,
    v1::{self, ErrorCode},
};

use super::CALL_SEQ;
use crate::{
    gateway::{
        answers::named,
        handler::{Cx, Gateway, code},
    },
    metrics::OfLoop,
    wire::Format,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Whatever is personal is in no cache.
const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
/// A browser takes it for nothing else.
const NO_SNIFF: (&str, &str) = ("X-Content-Type-Options", "nosniff");

/// Headers of one response that depend on its request.
const HEADERS_MAX: usize = 12;

/// The status of a refusal.
pub(super) const fn status_of(code: ErrorCode) -> Status {
    match code {
        ErrorCode::Unspecified | ErrorCode::Internal => Status::INTERNAL_SERVER_ERROR,
        ErrorCode::Unavailable
        | ErrorCode::Overloaded
        | ErrorCode::Draining
        | ErrorCode::ResourceExhausted => Status::SERVICE_UNAVAILABLE,
        ErrorCode::RateLimited => Status::TOO_MANY_REQUESTS,
        ErrorCode::Protocol
        | ErrorCode::UnsupportedVersion
        | ErrorCode::Invalid
        | ErrorCode::TooMany
        | ErrorCode::OutOfRange => Status::BAD_REQUEST,
        ErrorCode::FrameTooLarge => Status::CONTENT_TOO_LARGE,
        ErrorCode::UnknownCommand | ErrorCode::NotFound => Status::NOT_FOUND,
        ErrorCode::Timeout => Status::REQUEST_TIMEOUT,
        ErrorCode::Unauthenticated | ErrorCode::BadCredentials => Status::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::RegistrationClosed => Status::FORBIDDEN,
        ErrorCode::NameTaken | ErrorCode::Conflict | ErrorCode::EpochMismatch | ErrorCode::LimitReached => {
            Status::CONFLICT
        }
        ErrorCode::Gone => Status::GONE,
    }
}

/// What a response says besides its status.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// Headers beside those that every response has.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Answers the request that is worked on, and closes the connection if it asked for that.
pub(super) fn respond(cx: &mut Cx<'_>, status: Status, content: &Content<'_>) {
    let conn = cx.conn();
    let is_ending = conn.ending;
    let Some(http) = &mut conn.http else { return };
    http.pending = None;
    if http.is_of_proxy {
        conn.session.let_go();
    }
    if is_ending {
        http.persistence = Persistence::Close;
    }
    let persistence = http.persistence;
    let mut headers: Vec<(&str, &str)> = Vec::with_capacity(HEADERS_MAX);
    headers.push(NO_SNIFF);
    headers.extend(content.headers);
    if let Some(id) = &http.request_id {
        headers.push(("X-Request-Id", id));
    }
    if let Some(origin) = &http.allowed_origin {
        headers.push(("Access-Control-Allow-Origin", origin));
        headers.push(("Access-Control-Expose-Headers", "Retry-After, X-Request-Id"));
        headers.push(("Vary", "Origin"));
    }
    let body = if http.is_head {
        Body::Omitted(content.body.len() as u64)
    } else {
        Body::Full(content.body)
    };
    let response = Response {
        status,
        date: Some(Date::new(SystemTime::now())),
        persistence,
        headers: &headers,
        body,
    };
    let bytes = response.to_bytes();
    match bytes {
        Ok(bytes) => send(cx, bytes),
        Err(error) => {
            log::error!("{error}");
            cx.close(code::REFUSED, CloseHow::Abort);
        }
    }
    if persistence == Persistence::Close {
        cx.close(code::FINISHED, CloseHow::Flush);
    }
}

fn send(cx: &mut Cx<'_>, bytes: Bytes) {
    if let Err(SendError::Full) = cx.send_reply(bytes) {
        log::debug!("connection {:#x} takes no answers", cx.id().as_u64());
        cx.close(code::REFUSED, CloseHow::Abort);
    }
}

/// Answers with JSON.
pub(super) fn respond_json(cx: &mut Cx<'_>, status: Status, headers: &[(&str, &str)], body: &[u8]) {
    let mut all = vec![JSON, NO_STORE];
    all.extend(headers);
    respond(cx, status, &Content { headers: &all, body });
}

/// Answers with the frame that the session machine gave: an answer or a refusal, with a JSON body. A push is dropped:
/// nobody waits for it.
pub(in crate::gateway) fn respond_frame(cx: &mut Cx<'_>, frame: &[u8]) {
    let Some((kind, _, body)) = text::parts(frame) else {
        return;
    };
    if kind == MessageType::ERROR {
        let error: v1::Error = Encoding::Json
            .decode(Bytes::copy_from_slice(body))
            .unwrap_or_default();
        return respond_refusal(cx, status_of(error.code()), error.retry_after_ms, body);
    }
    if kind.is_response() {
        let body = if body.is_empty() { b"{}" } else { body };
        respond_json(cx, Status::OK, &[], body);
    }
}

fn respond_refusal(cx: &mut Cx<'_>, status: Status, retry_after_ms: u32, body: &[u8]) {
    let seconds = retry_after_ms.div_ceil(1_000).to_string();
    let mut headers = Vec::with_capacity(2);
    if retry_after_ms > 0 {
        headers.push(("Retry-After", seconds.as_str()));
    }
    if status == Status::UNAUTHORIZED {
        headers.push(("WWW-Authenticate", "Bearer"));
    }
    respond_json(cx, status, &headers, body);
}

/// Answers what is no request: nothing more can be read.
pub(in crate::gateway) fn respond_refused(row: &OfLoop, cx: &mut Cx<'_>, refused: http::Refused) {
    let code = if refused.status() == Status::CONTENT_TOO_LARGE {
        ErrorCode::FrameTooLarge
    } else {
        ErrorCode::Protocol
    };
    respond_unread(
        row,
        cx,
        refused.status(),
        &Refusal::new(code, refused.to_string()),
    );
}

/// Answers a request that does not become whole. While another one is worked on or a stream is written, nothing is
/// said: it would be taken for a part of that.
pub(in crate::gateway) fn respond_too_slow(row: &OfLoop, cx: &mut Cx<'_>, refusal: &Refusal) {
    if !cx.conn().is_stream_or_calls() {
        respond_last(row, cx, refusal);
    }
}

/// Refuses whatever was sent, and closes.
pub(in crate::gateway) fn respond_last(row: &OfLoop, cx: &mut Cx<'_>, refusal: &Refusal) {
    respond_unread(row, cx, status_of(refusal.code()), refusal);
}

/// Refuses what has no head that was read, and closes.
fn respond_unread(row: &OfLoop, cx: &mut Cx<'_>, status: Status, refusal: &Refusal) {
    row.requests.refused_over_http(refusal);
    let conn = cx.conn();
    conn.session.set_format(Format::Call);
    let http = conn.http.get_or_insert_with(super::Http::new);
    http.persistence = Persistence::Close;
    (http.is_head, http.request_id, http.allowed_origin) = (false, None, None);
    let refusal = named(cx, refusal, 0);
    let body = Encoding::Json.encode(&refusal.0);
    respond_refusal(cx, status, refusal.0.retry_after_ms, &body);
}

impl Gateway {
    /// Refuses a request before it has reached the session machine.
    pub(super) fn refuse_request(&self, cx: &mut Cx<'_>, refusal: &Refusal) -> Flow<Self> {
        self.row().requests.refused_over_http(refusal);
        let refusal = named(cx, refusal, CALL_SEQ);
        let body = Encoding::Json.encode(&refusal.0);
        respond_refusal(cx, status_of(refusal.code()), refusal.0.retry_after_ms, &body);
        Flow::Continue
    }

    pub(super) fn nothing_there(&self, cx: &mut Cx<'_>) -> Flow<Self> {
        self.refuse_request(cx, &Refusal::new(ErrorCode::NotFound, "there is nothing here"))
    }

    pub(super) fn not_allowed(&self, cx: &mut Cx<'_>, allowed: &'static str) -> Flow<Self> {
        let refusal = Refusal::new(ErrorCode::Protocol, format!("only {allowed} is understood here"));
        self.row().requests.refused_over_http(&refusal);
        let refusal = named(cx, &refusal, CALL_SEQ);
        let body = Encoding::Json.encode(&refusal.0);
        respond_json(cx, Status::METHOD_NOT_ALLOWED, &[("Allow", allowed)], &body);
        Flow::Continue
    }

    /// Tells a browser what a page of an allowed origin may do. Without one it is told nothing, and so refuses.
    pub(super) fn preflight(&self, cx: &mut Cx<'_>) -> Flow<Self> {
        let is_allowed = cx
            .conn()
            .http
            .as_ref()
            .is_some_and(|http| http.allowed_origin.is_some());
        let headers: &[(&str, &str)] = if is_allowed {
            &[
                ("Access-Control-Allow-Methods", "GET, POST"),
                (
                    "Access-Control-Allow-Headers",
                    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id",
                ),
                ("Access-Control-Max-Age", "600"),
            ]
        } else {
            &[]
        };
        respond(cx, Status::NO_CONTENT, &Content { headers, body: b"" });
        Flow::Continue
    }
}
