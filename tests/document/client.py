"""A client that does what the document says, one frame at a time: it decides nothing."""

import contextlib
import itertools
import json
import os
import select
import socket
import struct
import time

from schema import ANSWER, PATIENCE, Closed, Differs, Late


class Frame:
    """One frame from the server; `body` is its message, `error` is true for a refusal."""

    def __init__(self, document, kind, seq, raw, encoding):
        self.kind, self.seq, self.raw = kind, seq, raw
        schema = document.schema
        number = kind & 0x3FFF
        self.error = kind == ANSWER
        if self.error:
            self.name, message = "error", "Error"
        elif kind & ANSWER and number in document.commands:
            self.name, message = document.commands[number][0], document.commands[number][2]
        elif number in document.pushes and not kind & 0xC000:
            self.name, message = document.pushes[number]
        else:
            raise Differs(f"a frame of type {kind:#06x}, which the document does not have")
        if encoding == "json":
            self.body = schema.from_json(message, json.loads(raw.decode()))
        else:
            self.body = schema.decode(message, raw)

    @property
    def code(self):
        names = {number: name for name, number in self.body.schema.enums["ErrorCode"].items()}
        return names[self.body.code].replace("ERROR_CODE_", "") if self.error else None

    def __repr__(self):
        return f"{self.name} {self.code or ''} seq {self.seq} {dict(self.body)}"


class Client:
    """One connection, and what the client of a person knows: the session, and pushes and answers as they came."""

    def __init__(self, test, encoding="protobuf", source=None, receive_buffer=None):
        self.test, self.document, self.encoding = test, test.document, encoding
        self.schema = test.document.schema
        self.source = source or test.next_source()
        self.socket = socket.socket(socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.bind((self.source, 0))
        self.socket.connect(test.server)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.seqs = itertools.count(1)
        self.answers, self.pushes, self.order = {}, [], []
        test.local.opened.append(self)

    # Frames.

    def encode(self, message, fields):
        if self.encoding == "json":
            return json.dumps(self.schema.to_json(message, fields), ensure_ascii=False).encode()
        return self.schema.encode(message, fields)

    def write(self, data):
        self.socket.sendall(data)

    def frame(self, kind, seq, body=b""):
        self.write(struct.pack(">IHH", len(body), kind, seq) + body)

    def next_seq(self):
        return (next(self.seqs) - 1) % 65535 + 1

    def ask(self, command, fields=None, body=None, seq=None):
        """Sends a request, and returns its seq."""
        number = self.document.numbers[command]
        seq = self.next_seq() if seq is None else seq
        self.frame(number, seq, self.encode(self.document.commands[number][1], fields or {}) if body is None else body)
        return seq

    def read(self, until):
        """The next frame, which must come until then."""
        while True:
            if len(self.buffer) >= 8:
                length, kind, seq = struct.unpack(">IHH", self.buffer[:8])
                if length > 1 << 20:
                    raise Differs(f"the server sent a body of {length} bytes")
                if len(self.buffer) >= 8 + length:
                    raw, self.buffer = self.buffer[8 : 8 + length], self.buffer[8 + length :]
                    frame = Frame(self.document, kind, seq, raw, self.encoding)
                    self.order.append(frame)
                    if kind & ANSWER:
                        self.answers[seq] = frame
                    else:
                        if seq:
                            raise Differs(f"a push with seq {seq}")
                        self.pushes.append(frame)
                    return frame
            ready, _, _ = select.select([self.socket], [], [], max(0, until - time.monotonic()))
            if not ready:
                raise Late("nothing came in time")
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed("the server closed the connection")
            self.buffer += data

    def answer(self, seq, patience=PATIENCE):
        until = time.monotonic() + patience
        while seq not in self.answers:
            self.read(until)
        return self.answers.pop(seq)

    def closes(self, patience=PATIENCE):
        """Reads until the server closes, and returns the frames that came before."""
        until, before = time.monotonic() + patience, len(self.order)
        try:
            while True:
                self.read(until)
        except Closed:
            return self.order[before:]

    def close(self):
        self.socket.close()

    # Requests.

    def request(self, command, body=None, patience=PATIENCE, **fields):
        """Asks and waits for the answer, whatever it is; waits and repeats when this client was too fast."""
        while True:
            answer = self.answer(self.ask(command, fields, body), patience)
            if answer.code != "RATE_LIMITED":
                return answer
            self.listen(answer.body.retry_after_ms / 1000)

    def listen(self, seconds):
        """Reads what comes within a time."""
        until = time.monotonic() + seconds
        with contextlib.suppress(Late):
            while True:
                self.read(until)

    def works(self, command, body=None, **fields):
        answer = self.request(command, body, **fields)
        if answer.error:
            shown = {k: v if len(str(v)) < 60 else f"({len(v)})" for k, v in fields.items()}
            raise Differs(f"{command} {shown} was refused: {answer.code} {answer.body.field!r} {answer.body.message!r}")
        return answer.body

    def refused(self, code, command, body=None, blame=None, **fields):
        """Asks for what must be refused: with that code, and what the tables say about class, wait and field."""
        return self.judge(code, self.request(command, body, **fields), blame, command)

    def judge(self, code, answer, blame=None, what=""):
        if not answer.error:
            raise Differs(f"{what} was answered, not refused with {code}: {str(dict(answer.body))[:200]}")
        _, kind, wait = self.document.codes[code]
        error = answer.body
        if answer.code != code:
            raise Differs(f"{what}: {answer.code} (field {error.field!r}: {error.message}), not {code}")
        if error.get("class", 0) != self.schema.constants[kind] and code != "UNAVAILABLE":
            raise Differs(f"{what}: {code} with class {error.get('class', 0)}, not {kind}")
        if wait == 0 and error.retry_after_ms:
            raise Differs(f"{what}: {code} with a wait of {error.retry_after_ms} ms")
        if len(error.message.encode()) > 256:
            raise Differs(f"a message of {len(error.message.encode())} bytes")
        if blame is not None and error.field != blame:
            raise Differs(f"{what}: {code} blames {error.field!r}, not {blame!r}")
        # It names this one refusal: whoever compares refusals leaves it aside.
        error.pop("request_id", None)
        return error

    # The session.

    def hello(self, device=None, token="", capabilities=0, **changed):
        fields = {
            "magic": 0x494D5331,
            "version_min": 1,
            "version_max": 1,
            "capabilities": capabilities,
            "device": device or {"device_id": "d-" + os.urandom(6).hex(), "class": 2},
            "session_token": token,
            "client": "document.py/1",
        }
        fields.update(changed)
        return fields

    def welcome(self, device=None, token="", capabilities=0):
        self.welcomed = self.works("hello", **self.hello(device, token, capabilities))
        if token:
            self.take(self.welcomed.session)
            self.token = token
        return self.welcomed

    def take(self, session):
        self.user, self.session = session.user, session
        self.id, self.epoch = session.user.user_id, session.epoch
        if session.token:
            self.token = session.token

    def begin(self):
        """Syncs from the beginning, so that pongs carry tokens."""
        token = b""
        while True:
            answer = self.works("sync", token=token, limit=500)
            token = answer.token
            if not answer.more:
                return answer

    # Pushes.

    def barrier(self):
        """Everything that the server wrote before it answers this ping was read."""
        return self.works("ping")

    def push(self, name, matches=lambda body: True, patience=PATIENCE):
        """The first push of that name that matches, and forgets it."""
        until = time.monotonic() + patience
        seen = 0
        while True:
            while seen < len(self.pushes):
                frame = self.pushes[seen]
                if frame.name == name and matches(frame.body):
                    return self.pushes.pop(seen).body
                seen += 1
            try:
                self.read(until)
            except Late:
                raise Late(f"no push {name} that matches came") from None

    def event(self, conversation, seq, patience=PATIENCE):
        """The pushed event with that seq."""
        page = self.push(
            "events",
            lambda page: page.conversation_id == conversation and any(e.seq == seq for e in page.events),
            patience,
        )
        return next(e for e in page.events if e.seq == seq)

    def has(self, name, matches=lambda body: True):
        return any(frame.name == name and matches(frame.body) for frame in self.pushes)

    # Short forms.

    def text(self, conversation, text, client_id=None, **content):
        return self.works(
            "send",
            conversation_id=conversation,
            client_msg_id=client_id or new_id(),
            kind=1,
            content=dict(content, body=text.encode()),
        )

    def with_user(self, other):
        return direct(self.id, other.id)

    def conversation(self, conversation):
        return self.works("get_conversation", conversation_id=conversation).conversation

    def history(self, conversation, from_seq=1, limit=500, **fields):
        return self.works("history", conversation_id=conversation, from_seq=from_seq, limit=limit, **fields).page

    def group(self, *others, name="Group"):
        answer = self.works("create_group", client_msg_id=new_id(), name=name, user_ids=[o.id for o in others])
        return answer.conversation_id


ids = itertools.count(int(time.time() * 1000) << 16)


def new_id():
    return (next(ids) << 64).to_bytes(16, "big")[:8] + os.urandom(8)


def direct(one, other):
    return 1 << 62 | min(one, other) << 31 | max(one, other)
