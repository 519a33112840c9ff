//! A client of the HTTP door, spoken byte by byte or in typed calls. It must never do on its own what a test did not
//! ask for: no redirects, no repeating, no second connection.

#![expect(
    clippy::unwrap_in_result,
    reason = "what is not as it should be fails the test; an error is what the daemon refused"
)]

use std::net::{Shutdown, SocketAddr, TcpStream};

use protocol::{Call, Decode, Encoding, Reply, v1};

use super::{PASSWORD, bytes_in::BytesIn};

/// A connection to the HTTP door. Blocking; dropped, it is closed.
#[derive(Debug)]
pub struct Web {
    bytes: BytesIn,
    address: SocketAddr,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Of the first line.
    pub status: u16,
    /// In their order, the names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A session as HTTP gave it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's id.
    pub id: u64,
    /// The session's id.
    pub session: u64,
    /// The session's token.
    pub token: String,
}

impl Web {
    /// Connects.
    ///
    /// # Panics
    /// Nobody listens there, as every method here panics when what is asked for does not come about.
    pub fn to(address: SocketAddr) -> Self {
        Self {
            bytes: BytesIn::to(address),
            address,
        }
    }

    /// Goes on with a socket that is connected.
    pub fn on(stream: TcpStream) -> Self {
        let address = stream.peer_addr().expect("it is connected");
        Self {
            bytes: BytesIn::on(stream),
            address,
        }
    }

    /// The socket itself.
    pub const fn stream(&self) -> &TcpStream {
        self.bytes.stream()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.stream().shutdown(Shutdown::Write).expect("half-closed");
    }

    // ---- sending ----------------------------------------------------------------------------------

    /// Writes bytes.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.bytes.write(bytes.as_ref()).expect("the daemon reads");
    }

    /// Writes bytes, if the other side is still there.
    ///
    /// # Errors
    /// It is not.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.bytes.write(bytes.as_ref())
    }

    /// The bytes of a request with these headers beside `Host` and, where there is a body, its length.
    pub fn request_bytes(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        [head.as_bytes(), body].concat()
    }

    /// Asks, and waits for the response.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        let bytes = self.request_bytes(method, target, headers, body.as_ref());
        self.write(bytes);
        self.response_to(method)
    }

    /// Asks for what is there for anybody.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[], "")
    }

    /// Calls a command with this body; an empty token is none.
    #[track_caller]
    pub fn call(&mut self, token: &str, command: &str, body: &str) -> Response {
        self.call_with(token, command, &[], body)
    }

    /// The same with further headers.
    #[track_caller]
    pub fn call_with(
        &mut self,
        token: &str,
        command: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let bytes = self.call_bytes(token, command, headers, body);
        self.write(bytes);
        self.response()
    }

    /// The bytes of a call.
    pub fn call_bytes(&self, token: &str, command: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("Content-Type", "application/json")];
        if !token.is_empty() {
            all.push(("Authorization", bearer.as_str()));
        }
        all.extend(headers);
        self.request_bytes("POST", &format!("/v1/call/{command}"), &all, body.as_bytes())
    }

    /// Makes a typed call.
    ///
    /// # Errors
    /// The status and the refusal.
    #[track_caller]
    pub fn ask<C: Call>(&mut self, token: &str, call: C) -> Result<C::Response, (u16, v1::Error)> {
        let body = call.into_request().to_frame(Encoding::Json, 1).body;
        let body = String::from_utf8(body.to_vec()).expect("JSON");
        let response = self.call(token, C::COMMAND.name(), &body);
        if response.status != 200 {
            return Err((response.status, response.refusal()));
        }
        let reply = Reply::decode(C::COMMAND, Encoding::Json, response.body.into()).expect("its reply");
        Ok(C::response(reply).unwrap_or_else(|other| panic!("answered with {other:?}")))
    }

    /// Makes a typed call that is granted.
    #[track_caller]
    pub fn granted<C: Call>(&mut self, token: &str, call: C) -> C::Response {
        match self.ask(token, call) {
            Ok(response) => response,
            Err(refused) => panic!("{} was refused: {refused:?}", C::COMMAND.name()),
        }
    }

    /// A new account, whose session is a script's.
    #[track_caller]
    pub fn register(&mut self, name: &str) -> Account {
        let session = self.granted(
            "",
            v1::RegisterRequest {
                name: name.to_owned(),
                password: PASSWORD.to_owned(),
                display_name: String::new(),
            },
        );
        Account::of(session)
    }

    // ---- receiving --------------------------------------------------------------------------------

    /// The next response.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("POST")
    }

    /// The next response, to a request of this method.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        let mut response = self.head();
        let has_none = method == "HEAD" || matches!(response.status, 100..200 | 204 | 304);
        if has_none {
            return response;
        }
        match response.header("content-length") {
            Some(length) => {
                let length = length.parse().expect("a length");
                while self.bytes.unread().len() < length {
                    self.bytes.must_have_more();
                }
                response.body = self.bytes.take(length);
            }
            None => response.body = self.bytes.rest(),
        }
        response
    }

    /// The next response's head.
    #[track_caller]
    pub fn head(&mut self) -> Response {
        let head = loop {
            if let Some(head) = self.bytes.take_through(b"\r\n\r\n") {
                break String::from_utf8(head).expect("a head is text");
            }
            self.bytes.must_have_more();
        };
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.unwrap_or_else(|| panic!("no response begins with {first:?}"));
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Response {
            status: status.parse().expect("a status"),
            headers: headers.collect(),
            body: Vec::new(),
        }
    }

    /// Nothing more comes, and the server closes.
    #[track_caller]
    pub fn end(&mut self) {
        let rest = self.bytes.rest();
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Everything until the server closes.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        self.bytes.rest()
    }

    pub(super) const fn bytes(&mut self) -> &mut BytesIn {
        &mut self.bytes
    }

    pub(super) fn into_bytes(self) -> BytesIn {
        self.bytes
    }
}

impl Response {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(other, _)| other == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The refusal that the body is.
    ///
    /// # Panics
    /// It is none.
    #[track_caller]
    pub fn refusal(&self) -> v1::Error {
        assert!(self.status >= 400, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        Encoding::Json
            .decode(self.body.clone().into())
            .unwrap_or_else(|error| panic!("{error:?}: {:?}", self.text()))
    }

    /// Checks the status and the code of a refusal.
    ///
    /// # Panics
    /// It is another one.
    #[track_caller]
    pub fn is_refused(&self, status: u16, code: v1::ErrorCode) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.refusal().code(), code, "{}", self.text());
    }
}

impl Account {
    /// Of what a registration or a login was answered with.
    ///
    /// # Panics
    /// Something of it is missing.
    pub fn of(session: v1::Session) -> Self {
        assert!(
            session.session_id != 0 && !session.token.is_empty(),
            "{session:?}"
        );
        Self {
            id: session.user.expect("whose it is").user_id,
            session: session.session_id,
            token: session.token,
        }
    }
}
