//! Who calls: the check of a session's token, once per connection and as long as no session ends anywhere.

use std::sync::Arc;

use netcore::{Flow, http::Head, http::field};
use protocol::{Command, Refusal, v1::ErrorCode};
use storage::TokenHash;

use super::{CALL_SEQ, Pending};
use crate::{
    gateway::handler::{Cx, Gateway},
    message::Authenticated,
    metrics::Asked,
    principal::Principal,
    session::{Allowance, Caller, Charge, Opens},
    token,
};

/// A token that was checked.
#[derive(Debug)]
pub(super) struct Known {
    pub token: TokenHash,
    pub principal: Principal,
    /// The revocations when the check began: with any more since, it is checked again.
    pub checked_at: u64,
    allowance: Option<Arc<Allowance>>,
}

impl Gateway {
    /// The token that a request carries.
    ///
    /// # Errors
    /// It carries none.
    pub(super) fn token_of(head: &Head) -> Result<TokenHash, Refusal> {
        let token = head.header("authorization").and_then(field::bearer);
        token.map(token::hash_session_token).ok_or_else(|| {
            let message = "a header is missing: Authorization: Bearer TOKEN";
            Refusal::new(ErrorCode::Unauthenticated, message)
        })
    }

    /// Does `pending` for the owner of this token, once it was checked.
    pub(super) fn identify(&mut self, cx: &mut Cx<'_>, token: TokenHash, pending: Pending) -> Flow<Self> {
        let revocations = self.shared.routes.revocations();
        let now_us = self.now_us(cx.now());
        let address = self.allowance_of_request(cx);
        let conn = cx.conn();
        let Some(http) = &mut conn.http else {
            return Flow::Continue;
        };
        if let Some(known) = &http.known
            && known.token == token
            && known.checked_at == revocations
        {
            let (principal, allowance) = (known.principal, known.allowance.clone());
            conn.session.begin_call(Caller::Unknown(Box::default()), address);
            conn.session.authenticated(principal, allowance);
            return self.go_on(cx, pending);
        }
        http.known = None;
        let command = match &pending {
            Pending::Call(frame) => Command::from_number(frame.kind.command()).ok(),
            Pending::Stream(_) | Pending::Ticket => None,
        };
        http.pending = Some(pending);
        conn.asked = Asked::of(command, now_us);
        conn.session.begin_call(Caller::Token(CALL_SEQ), address);
        // A check costs what the resume of a native session costs.
        if let Err(refusal) = cx.conn().session.charge(Charge::Hello, now_us, &self.terms.rules) {
            self.not_authenticated(cx, CALL_SEQ, &refusal);
            return Flow::Continue;
        }
        cx.pause_reading();
        self.check_again(cx, CALL_SEQ, token, None);
        Flow::Continue
    }

    /// A token was checked, or a login or a registration went well.
    pub(in crate::gateway) fn caller_known(&mut self, cx: &mut Cx<'_>, seq: u16, known: Authenticated) {
        let Some(opens) = cx.conn().session.deciding() else {
            return;
        };
        if self.shared.routes.revocations() != known.checked_at {
            // A session was revoked in between, perhaps this one: look it up again.
            return self.check_again(cx, seq, known.token_hash, known.token);
        }
        let now_us = self.now_us(cx.now());
        let is_exempt = cx.conn().session.is_exempt();
        let user = known.principal.user;
        let allowance = (!is_exempt).then(|| self.shared.allowances.of_user(user, now_us));
        let conn = cx.conn();
        conn.session.answered(seq);
        conn.session.authenticated(known.principal, allowance.clone());
        self.seen_since(conn, known.seen_at, now_us);
        let Some(http) = &mut conn.http else { return };
        // What another caller's sync left behind is none of this one's.
        if http
            .known
            .as_ref()
            .is_none_or(|before| before.principal != known.principal)
        {
            (conn.synced, conn.backlog, conn.starts_over) = (None, None, false);
        }
        http.known = Some(Known {
            token: known.token_hash,
            principal: known.principal,
            checked_at: known.checked_at,
            allowance,
        });
        let pending = http.pending.take();
        let flow = match (opens, pending) {
            (Opens::Hello, Some(pending)) => self.go_on(cx, pending),
            (Opens::Hello, None) => Flow::Continue,
            (Opens::Register | Opens::Login, _) => {
                self.send_session(cx, opens, seq, &known);
                Flow::Continue
            }
        };
        self.went_on(cx, flow);
        self.resume_if_possible(cx);
    }

    /// Does what waited for the caller to be known.
    fn go_on(&mut self, cx: &mut Cx<'_>, pending: Pending) -> Flow<Self> {
        // A call is charged as the request that it is.
        if !matches!(pending, Pending::Call(_)) {
            let now_us = self.now_us(cx.now());
            let charged = cx
                .conn()
                .session
                .charge(Charge::Request, now_us, &self.terms.rules);
            if let Err(refusal) = charged {
                return self.refuse_request(cx, &refusal);
            }
        }
        match pending {
            Pending::Call(frame) => self.judged(cx, &frame),
            Pending::Stream(since) => self.begin_stream(cx, since),
            Pending::Ticket => self.give_ticket(cx),
        }
    }
}
