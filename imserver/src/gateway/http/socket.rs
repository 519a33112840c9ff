//! The way from a request to a WebSocket, and how one ends.

use std::time::SystemTime;

use netcore::{
    Flow,
    http::{Date, Head, Status},
    websocket::{
        CloseCode, encode_close,
        handshake::{self, UPGRADE_HEADERS},
    },
};
use protocol::{Encoding, Refusal, door::Door, v1::ErrorCode};

use super::{CALL_SEQ, answer::respond_json};
use crate::{
    gateway::{
        answers::named,
        handler::{Cx, Gateway},
    },
    wire::Format,
};

/// The subprotocol that a client may offer; a browser that offers one must be given one.
const SUBPROTOCOL: &str = "imserver.v1";

impl Gateway {
    pub(super) fn upgrade(&mut self, cx: &mut Cx<'_>, head: &Head) -> Flow<Self> {
        let accepted = match handshake::check(head, &[SUBPROTOCOL]) {
            Ok(accepted) => accepted,
            Err(refused) => return self.refuse_upgrade(cx, refused),
        };
        let response = accepted.response(Some(Date::new(SystemTime::now())));
        let address = self.allowance_of_request(cx);
        cx.conn().session.greet(address);
        if let Err(refusal) = self.share_of_client(cx) {
            return self.refuse_request(cx, &refusal);
        }
        let conn = cx.conn();
        conn.from = conn.http.take().and_then(|http| http.from).map(Box::new);
        // What calls on this connection have synced, this session has not.
        (conn.synced, conn.backlog, conn.starts_over) = (None, None, false);
        // Until the first message tells whether messages are texts.
        conn.session.set_format(Format::SocketProtobuf);
        if cx.send_reply(response).is_err() {
            return Flow::Close(crate::gateway::handler::code::REFUSED);
        }
        *cx.codec() = Door::socket(self.shared.config.limits.frame_bytes_unauthenticated);
        Flow::Continue
    }

    fn refuse_upgrade(&self, cx: &mut Cx<'_>, refused: handshake::Refused) -> Flow<Self> {
        let refusal = Refusal::new(ErrorCode::Protocol, refused.to_string());
        self.row().requests.refused_over_http(&refusal);
        let refusal = named(cx, &refusal, CALL_SEQ);
        let body = Encoding::Json.encode(&refusal.0);
        let headers = if refused.status() == Status::UPGRADE_REQUIRED {
            UPGRADE_HEADERS
                .iter()
                .filter(|(name, _)| *name != "Connection")
                .copied()
                .collect()
        } else {
            Vec::new()
        };
        respond_json(cx, refused.status(), &headers, &body);
        Flow::Continue
    }
}

/// Says on a WebSocket that it ends, as a close frame. On any other connection nothing is said.
pub(in crate::gateway) fn say_close(cx: &mut Cx<'_>, code: CloseCode, reason: &str) {
    if cx.conn().session.format().is_socket() {
        // A peer that takes nothing any more needs no word.
        let _ = cx.send_reply(encode_close(code, reason));
    }
}
