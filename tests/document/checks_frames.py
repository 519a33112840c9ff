"""Checks of sections 1 to 3: frames, encodings, the life of a connection."""

import base64
import json
import socket
import struct
import time

from checker import ends, raw_json, raw_send, text_request, wait_until
from schema import PATIENCE, varint


def section_1(t):
    says = t.says
    anna = t.user()
    with says("1", "bit 15 (`0x8000`) is set in an answer and clear in a request or a push"):
        anna.ask("ping", seq=77)
        t.equal(anna.read(time.monotonic() + PATIENCE).kind, 0x8000 | 1002)
    with says("1", "An answer carries the command of its request"):
        for command, fields in (("list_devices", {}), ("get_users", {"user_ids": [1]}), ("sync", {"limit": 1})):
            t.equal(anna.request(command, **fields).kind, 0x8000 | anna.document.numbers[command])
    with says("1", "the answer that says a request was refused has command 0, so its type is `0x8000`"):
        t.equal(anna.request("get_users").kind, 0x8000)
    with says(
        "1",
        "The client chooses it: 1 to 65,535, and different from that of each of its requests that is not answered yet.",
    ):
        for seq in (1, 2, 1, 65535, 32768, 65535):
            t.equal(anna.answer(anna.ask("get_users", {"user_ids": [anna.id]}, seq=seq)).seq, seq)
    with says("1", "The answer carries the same number."):
        for seq in [anna.ask("get_users", {"user_ids": [anna.id]}, seq=seq) for seq in range(500, 530)]:
            t.equal(anna.answer(seq).name, "get_users")
    with says("1", "A `ping` may carry 0; its `pong` then does too."):
        t.equal(anna.answer(anna.ask("ping", seq=0)).name, "ping")
    with says("1", "What the server starts by itself carries 0."):
        anna.text(anna.id, "note")
        anna.push("events")
    with says("1", "Only appends to one conversation are answered in the order they were sent in."):
        sent = [anna.ask("send", text_request(anna.id)) for _ in range(25)]
        answers = [anna.answer(seq) for seq in sent]
        t.equal([a.body.seq for a in answers], list(range(2, 27)))
        came = [frame.seq for frame in anna.order if frame.name == "send" and frame.seq in sent]
        t.equal(came, sent)
    with says("1", "It may be 0."):
        anna.works("ping", body=b"")

    for encoding in ("protobuf", "json"):
        with says("1", "| client | until it is authenticated | 4 KiB |", f"at the limit, {encoding}"):
            client = t.connect(encoding)
            client.works("hello", body=padded_hello(client, 4096))
        with says(
            "1",
            "A receiver must refuse a length beyond its limit as soon as it has the header",
            f"before login, {encoding}",
        ):
            client = t.connect(encoding)
            client.welcome()
            client.write(struct.pack(">IHH", 4097, 1003, 9))
            ends(client, "FRAME_TOO_LARGE")
        size = 65536
        with says("1", "`Welcome.limits.frame_bytes_max`: 64 KiB by default", f"at the limit, {encoding}"):
            client = t.user(encoding)
            t.equal(client.welcomed.limits.frame_bytes_max, size)
            client.works("list_devices", body=padding(encoding, size))
        with says("1", "the server says `FRAME_TOO_LARGE` or `PROTOCOL` and closes", f"length, {encoding}"):
            client.write(struct.pack(">IHH", size + 1, 1007, 11))
            ends(client, "FRAME_TOO_LARGE")
        with says("1", "the server says `FRAME_TOO_LARGE` or `PROTOCOL` and closes", f"reserved bit, {encoding}"):
            client = t.user(encoding)
            client.frame(0x4000 | 1002, 12)
            ends(client, "PROTOCOL")
    with says(
        "1", "After a length beyond the limit or a set reserved bit nothing on that connection can be trusted any more"
    ):
        client = t.connect()
        client.write(struct.pack(">IHH", 0xFFFFFFFF, 1001, 1))
        ends(client, "FRAME_TOO_LARGE")
    with says("1", "Both directions carry frames, one after the other, with nothing in between."):
        client = t.user()
        ping = struct.pack(">IHH", 0, 1002, 1) + struct.pack(">IHH", 0, 1002, 2)
        for byte in ping:
            client.write(bytes([byte]))
        t.equal([client.read(time.monotonic() + PATIENCE).seq for _ in range(2)], [1, 2])


def padding(encoding, size):
    """A body of that size that says nothing: an unknown field."""
    if encoding == "json":
        return b'{"padding":"' + b"x" * (size - 14) + b'"}'
    head = varint(999 << 3 | 2)
    length = size - len(head) - len(varint(size))
    return head + varint(length) + b"x" * (size - len(head) - len(varint(length)))


def padded_hello(client, size):
    body = client.encode("Hello", client.hello())
    if client.encoding == "json":
        return body[:-1] + b"," + padding("json", size - len(body))[1:]
    return body + padding("protobuf", size - len(body))


def section_2(t):
    says = t.says
    schema = t.document.schema
    with says("2", "`{` (`0x7B`) means JSON, anything else protobuf", "JSON"):
        client = t.connect("json")
        client.works("hello", **client.hello())
        t.equal(client.order[0].raw[:1], b"{")
    with says("2", "`{` (`0x7B`) means JSON, anything else protobuf", "protobuf"):
        client = t.connect()
        client.works("hello", **client.hello())
    for start in (b" ", b"\n", b"\xef\xbb\xbf"):
        with says(
            "2", "So a JSON hello starts with the brace itself: no white space, no byte order mark.", repr(start)
        ):
            client = t.connect()
            client.ask("hello", body=start + json.dumps(schema.to_json("Hello", client.hello())).encode(), seq=3)
            ends(client, "INVALID", 3)
    with says("2", "What the server says before it has seen a hello is protobuf."):
        client = t.connect()
        client.ask("send", body=b'{"kind":1}', seq=5)
        ends(client, "PROTOCOL", 5)
    for first, then in (("json", "protobuf"), ("protobuf", "json")):
        with says("2", "A later hello on the same connection (after a refused one) decides again.", first):
            client = t.connect(first)
            client.refused("UNAUTHENTICATED", "hello", **client.hello(token="imt1_nothing"))
            client.encoding = then
            client.welcome()

    anna, bert = t.users(2)
    chat = anna.with_user(bert)
    with says("2", "fields that the receiver does not know are ignored", "protobuf"):
        anna.works(
            "send", body=raw_send(anna, chat, b"\x12\x01x\xfa\x3e\x03abc", b"\xf8\x3e\x05\xfd\x3e\x01\x02\x03\x04")
        )
    with says("2", "a singular number, text or bytes that occurs twice counts last", "protobuf"):
        answer = anna.works("send", body=raw_send(anna, chat, b"\x12\x01x\x12\x01y", b"\x38\x02\x38\x00"))
        t.equal(bert.event(chat, answer.seq).body.content.body, b"y")
    with says("2", "a message that occurs twice is merged field by field, as proto3 says"):
        answer = anna.works("send", body=raw_send(anna, chat, b"\x12\x01z", b"\x2a\x03\x32\x01f"))
        content = bert.event(chat, answer.seq).body.content
        t.equal((content.body, content.fallback), (b"z", "f"))
    with says(
        "2", "numbers that an enumeration does not name are kept and judged by the field's own rules", "protobuf"
    ):
        for changed in ({"kind": 99}, {"kind": 9}, {"quality": 3}, {"content": {"body": b"x", "priority": 3}}):
            anna.refused("INVALID", "send", **text_request(chat, **changed))
        client = t.connect()
        client.ask("hello", client.hello(device={"device_id": "d", "class": 5}))
        ends(client, "INVALID")
    with says("2", "Text is UTF-8 in both.", "protobuf"):
        anna.refused("INVALID", "find_user", body=b"\x0a\x02\xff\xfe")
    with says("2", "A malformed body", "repeated fields, packed and not"):
        packed = anna.works(
            "get_users",
            body=b"\x0a" + varint(len(varint(anna.id) + varint(bert.id))) + varint(anna.id) + varint(bert.id),
        )
        single = anna.works("get_users", body=b"\x08" + varint(anna.id) + b"\x08" + varint(bert.id))
        t.equal(packed, single)

    carl = t.user("json")
    note = carl.id

    def stored(**changed):
        answer = carl.works("send", body=raw_json(**{"conversation": note, **changed}))
        page = carl.history(note, answer.seq, 1)
        return page.events[0], json.loads(carl.order[-1].raw)["page"]["events"][0]

    with says(
        "2", "Field names are written as in the schema (`conversation_id`); the camel-case form is read as well."
    ):
        content = '{"body":"eA==","contentType":"text/x-a","replyTo":"0","expiresAtMs":"0"}'
        body = (
            raw_json(note, content=content)
            .replace(b"conversation_id", b"conversationId")
            .replace(b"client_msg_id", b"clientMsgId")
        )
        answer = carl.works("send", body=body)
        event = carl.history(note, answer.seq, 1).events[0]
        t.equal(event.body.content.content_type, "text/x-a")
        t.true("client_msg_id" in json.loads(carl.order[-1].raw)["page"]["events"][0])
    with says("2", "64-bit numbers are written as strings"):
        _, written = stored()
        for field in ("conversation_id", "seq", "ordinal", "sender_id", "sent_at_ms"):
            t.true(isinstance(written[field], str), f"{field} is {written[field]!r}")
    for form in (f"{note}", f"{note}.0", f"{note}e0", f'"{note}.0"', f'"{note}e0"', f'"{note}0E-1"', f"{note}0e-1"):
        with says(
            "2",
            "So are whole numbers with a fraction of zeros or an exponent (`10.0`, `1e1`, also as strings), up to 2^53",
            form,
        ):
            stored(conversation_id=form)
    for form in ("9007199254740992.0", '"9007199254740992.0"', "9.007199254740992e15"):
        with says("2", "up to 2^53: beyond it they are refused", "2^53 as " + form):
            carl.refused(
                "OUT_OF_RANGE", "history", body=f'{{"conversation_id":"{note}","from_seq":{form},"limit":1}}'.encode()
            )
            carl.works("sync", limit=1)
    for form in ("9007199254740994.0", '"9007199254740994.0"', "1e16", '"1e16"', "1e300"):
        with says("2", "beyond it they are refused, because they do not say which number is meant", form):
            carl.refused(
                "INVALID", "history", body=f'{{"conversation_id":"{note}","from_seq":{form},"limit":1}}'.encode()
            )
    for form in ("9007199254740993", '"9223372036854775807"', "9223372036854775807"):
        with says("2", "As numbers they are read too.", form):
            carl.refused(
                "OUT_OF_RANGE", "history", body=f'{{"conversation_id":"{note}","from_seq":{form},"limit":1}}'.encode()
            )
            carl.works("sync", limit=1)
    for form in ("-1", '"-1"', "1.5", '"1.5"', '""', '" 1"', "true", "[]", '"x"', "18446744073709551616"):
        with says("2", "A malformed body", f"a u64 as {form}"):
            carl.refused(
                "INVALID", "history", body=f'{{"conversation_id":"{note}","from_seq":{form},"limit":1}}'.encode()
            )
    odd = bytes([0xFB, 0xEF, 0xFF] * 5 + [0xFE])
    for form in (
        base64.b64encode(odd),
        base64.b64encode(odd).rstrip(b"="),
        base64.urlsafe_b64encode(odd),
        base64.urlsafe_b64encode(odd).rstrip(b"="),
    ):
        with says("2", "read also in the URL-safe alphabet and without padding", form.decode()):
            answer = carl.works("send", body=raw_json(note, content=json.dumps({"body": form.decode()})))
            t.equal(carl.history(note, answer.seq, 1).events[0].body.content.body, odd)
    with says("2", "`bytes` are base64: written with the standard alphabet and padding"):
        answer = carl.text(note, "x")
        answer = carl.works("send", **text_request(note, odd))
        carl.history(note, answer.seq, 1)
        t.equal(
            json.loads(carl.order[-1].raw)["page"]["events"][0]["body"]["content"]["body"],
            base64.b64encode(odd).decode(),
        )
    with says("2", "`bytes` are base64", "what is none"):
        carl.refused("INVALID", "send", body=raw_json(note, content='{"body":"*"}'))
    with says("2", 'Enumerations are written as their full names (`"EVENT_KIND_TEXT"`)'):
        t.equal(stored()[1]["kind"], "EVENT_KIND_TEXT")
    with says("2", "both are read. A name that is not known is refused, a number is not."):
        stored(kind="1")
        carl.refused("INVALID", "send", body=raw_json(note, kind='"EVENT_KIND_POEM"'))
        carl.refused("INVALID", "send", body=raw_json(note, kind='"TEXT"'))
    with says(
        "2", "A name that is not known is refused, a number is not.", "a number without a name is judged by the rules"
    ):
        carl.refused("INVALID", "send", body=raw_json(note, kind="99"), blame="kind")
    with says("2", 'Fields at their default (0, `""`, `false`, empty list, absent message) are left out when writing.'):
        event, written = stored()
        t.equal(
            set(written),
            {"conversation_id", "seq", "ordinal", "sender_id", "sent_at_ms", "kind", "client_msg_id", "body"},
        )
    with says("2", "A field that is `null` reads as if it were left out"):
        stored(reaction="null", target_seq="null", quality="null")
        carl.refused("INVALID", "send", body=raw_json(note, content="null"), blame="content")
    with says("2", "A field that is `null` reads as if it were left out", "optional"):
        carl.works("update_profile", status="here")
        t.equal(carl.works("update_profile", body=b'{"status":null}').user.status, "here")
    with says("2", "Unknown fields are ignored.", "JSON"):
        stored(unheard='{"of":[1,{"a":null}]}')
    with says("2", "A field that occurs twice is refused.", "JSON"):
        carl.refused("INVALID", "history", body=f'{{"conversation_id":"{note}","limit":1,"limit":1}}'.encode())
    with says("2", "A field that occurs twice is refused.", "once in each form"):
        carl.refused(
            "INVALID", "history", body=f'{{"conversation_id":"{note}","conversationId":"{note}","limit":1}}'.encode()
        )
    with says("2", "A field that occurs twice is refused.", "within a message"):
        carl.refused("INVALID", "send", body=raw_json(note, content='{"body":"eA==","body":"eA=="}'))
    with says("2", "An empty body reads as `{}`."):
        t.equal(carl.works("list_devices", body=b"").sessions, carl.works("list_devices", body=b"{}").sessions)
        carl.refused("INVALID", "get_users", body=b"", blame="user_ids")
    for body in (b"[]", b"null", b"1", b"{", b"{}{}", b'{"limit":1,}', b"\xff", b'"x"'):
        with says("2", "A body is one message of the schema, as protocol buffers (proto3) or as JSON.", repr(body)):
            carl.refused("INVALID", "list_devices", body=body)
    with says(
        "2", "A body is one message of the schema, as protocol buffers (proto3) or as JSON.", "white space around JSON"
    ):
        carl.works("list_devices", body=b" \n{ } ")
    with says("2", "Text is UTF-8 in both.", "JSON"):
        carl.refused("INVALID", "find_user", body=b'{"name":"\xff"}')
        carl.refused("INVALID", "find_user", body=b'{"name":"\\ud800"}')


def section_3(t):
    says = t.says
    with says("3", "`hello` must be the first frame, but for `ping`."):
        client = t.connect()
        t.equal(client.works("ping").sync_token, b"")
        client.works("ping")
        client.welcome()
    for command in ("send", "register", "login", "sync", "logout", "typing"):
        with says("3", "Any other command of this document first: `PROTOCOL`, close.", command):
            client = t.connect()
            client.ask(command, seq=4)
            ends(client, "PROTOCOL", 4)
    for body in (b"x", b"{}"):
        with says("3", "so such a ping has none: with one, `INVALID`, close", repr(body)):
            client = t.connect()
            client.ask("ping", body=body, seq=4)
            ends(client, "INVALID", 4)
    for low, high in ((2, 2), (2, 9), (4294967295, 4294967295)):
        with says(
            "3",
            "A version range without a version that the server speaks: `UNSUPPORTED_VERSION` with `version_min` and"
            " `version_max`, close.",
            f"{low} to {high}",
        ):
            client = t.connect()
            client.ask("hello", client.hello(version_min=low, version_max=high), seq=2)
            error = ends(client, "UNSUPPORTED_VERSION", 2)
            t.equal((error.version_min, error.version_max), (1, 1))
    dora = t.user()
    erik = t.user()
    gone = t.device(erik)
    gone.works("logout")
    gone.closes()
    revoked = t.device(erik)
    erik.works("logout_others")
    for token, what in (
        (gone.token, "ended"),
        (revoked.token, "revoked"),
        ("imt1_" + "0" * 64, "never issued"),
        ("x", "never issued"),
    ):
        with says(
            "3",
            "A `session_token` that is not valid (ended, revoked, never issued: they look alike): `UNAUTHENTICATED`.",
            what,
        ):
            client = t.connect()
            error = client.refused("UNAUTHENTICATED", "hello", **client.hello(token=token))
            other = t.connect()
            t.equal(error, other.refused("UNAUTHENTICATED", "hello", **other.hello(token="imt1_never")))
    with says(
        "3", "The connection stays in Greeting; the client drops the token and may say `hello` again without it."
    ):
        client.welcome()
    with says("3", "There may be three hellos on a connection; a fourth closes it with `PROTOCOL`."):
        client = t.connect()
        for _ in range(3):
            client.refused("UNAUTHENTICATED", "hello", **client.hello(token="x"))
        client.ask("hello", client.hello(), seq=40)
        ends(client, "PROTOCOL", 40)
    with says("3", "There may be three hellos on a connection", "the third succeeds"):
        client = t.connect()
        for _ in range(2):
            client.refused("UNAUTHENTICATED", "hello", **client.hello(token="x"))
        client.welcome(token=dora.token)
    with says("3", "After `Welcome` without a session, `hello` again: `PROTOCOL`, close."):
        client = t.connect()
        client.welcome()
        client.ask("hello", client.hello(), seq=7)
        ends(client, "PROTOCOL", 7)
    for command in ("send", "sync", "logout", "typing", "list_devices"):
        with says("3", "A command other than `register`, `login` and `ping`: `UNAUTHENTICATED`, close.", command):
            client = t.connect()
            client.welcome()
            client.ask(command, seq=7)
            ends(client, "UNAUTHENTICATED", 7)
    with says("3", "`register` and `login` that are refused, for whatever reason, leave the connection in Welcomed"):
        client = t.connect()
        client.welcome()
        client.refused("BAD_CREDENTIALS", "login", name=dora.name, password="wrong horse")
        client.refused("INVALID", "register", name="no blanks", password="correct horse", blame="name")
        client.refused("INVALID", "register", name=t.new_name(), password="short", blame="password")
        client.refused("INVALID", "register", body=b"\xff")
        client.refused("INVALID", "login", body=b"\x0a\x02\xff\xff")
        client.refused("NAME_TAKEN", "register", name=dora.name, password="correct horse")
        client.works("ping")
        client.works("register", name=t.new_name(), password="correct horse")
    for state in ("first", "welcomed"):
        with says(
            "3",
            "A command number that this server does not know, also as the first frame: `UNKNOWN_COMMAND`, close.",
            state,
        ):
            client = t.connect()
            if state == "welcomed":
                client.welcome()
            client.frame(4999, 9, b"anything")
            ends(client, "UNKNOWN_COMMAND", 9)
    with says(
        "3", "A `hello` or a `ping` that cannot be read or breaks a rule of its fields: `INVALID`, close.", "hello"
    ):
        client = t.connect()
        client.ask("hello", body=b"\xff\xff", seq=9)
        ends(client, "INVALID", 9)
    with says(
        "3", "A `hello` or a `ping` that cannot be read or breaks a rule of its fields: `INVALID`, close.", "ping"
    ):
        client = t.connect()
        client.welcome()
        client.ask("ping", body=b"\x0a\x05", seq=9)
        ends(client, "INVALID", 9)
    with says(
        "3",
        "A client may send on without waiting: what stands behind a `login` is looked at only when that is decided.",
    ):
        client = t.connect()
        client.ask("hello", client.hello(), seq=1)
        client.ask("login", {"name": dora.name, "password": dora.password}, seq=2)
        client.ask("list_devices", seq=3)
        t.equal([client.answer(seq).error for seq in (1, 2, 3)], [False] * 3)
    with says("3", "**Before authentication** the server works on one request at a time."):
        client = t.connect()
        client.ask("hello", client.hello(), seq=1)
        client.ask("login", {"name": dora.name, "password": "wrong horse"}, seq=2)
        client.ask("login", {"name": dora.name, "password": dora.password}, seq=3)
        client.ask("list_devices", seq=4)
        t.equal(client.answer(4).name, "list_devices")
        t.equal([f.seq for f in client.order[:4]], [1, 2, 3, 4])

    for encoding in ("protobuf", "json"):
        for command in ("hello", "register", "login"):
            with says("3", "`hello`, `register` or `login` again: `PROTOCOL`, close.", f"{command}, {encoding}"):
                client = t.resume(dora.token, encoding, sync=False)
                client.ask(command, seq=9)
                ends(client, "PROTOCOL", 9)
    with says("3", "An unknown command: `UNKNOWN_COMMAND`, the connection stays."):
        fred = t.user()
        fred.frame(4999, 9, b"anything")
        fred.judge("UNKNOWN_COMMAND", fred.answer(9))
        fred.works("ping")
    with says("3", "More than 20 in a minute: `PROTOCOL`, close."):
        for number in range(19):
            fred.frame(9000 + number, 10, b"")
            fred.judge("UNKNOWN_COMMAND", fred.answer(10))
        fred.works("ping")
        fred.frame(9999, 11)
        ends(fred, "PROTOCOL", 11)
    with says("3", "A malformed body or a field beyond its limits: `INVALID` or `TOO_MANY`, the connection stays."):
        for encoding in ("protobuf", "json"):
            client = t.user(encoding)
            client.refused("INVALID", "send", body=b"\xff\xff", blame="")
            client.refused("TOO_MANY", "get_users", user_ids=[1] * 501, blame="user_ids")
            client.works("ping")
    with says(
        "3",
        "More requests in flight than `Welcome.limits.requests_in_flight_max` (32) is no mistake: the server stops"
        " reading until it has answered one.",
    ):
        client = t.user()
        t.equal(client.welcomed.limits.requests_in_flight_max, 32)
        seqs = [client.ask("send", text_request(client.id)) for _ in range(60)]
        t.equal([client.answer(seq).error for seq in seqs], [False] * 60)
    for kind, what in (
        (1100, "go_away"),
        (3100, "events"),
        (3101, "heads"),
        (3102, "cursors"),
        (3103, "transient"),
        (6100, "typing_push"),
    ):
        for state in ("greeting", "authenticated"):
            with says(
                "3", "**In every state** these close with `PROTOCOL`: a push command from a client", f"{what}, {state}"
            ):
                client = t.connect() if state == "greeting" else t.resume(dora.token, sync=False)
                client.frame(kind, 5)
                ends(client, "PROTOCOL", 5)
    for state in ("greeting", "welcomed", "authenticated"):
        for kind, seq, what in (
            (0x8000 | 1002, 5, "bit 15"),
            (0x4000 | 1002, 5, "the reserved bit"),
            (1007, 0, "seq 0"),
            (0x8000, 5, "bit 15 alone"),
        ):
            with says(
                "3",
                "a type with bit 15 set from a client, seq 0 in a request other than `ping`, a seq that is still in"
                " flight, the reserved bit",
                f"{what}, {state}",
            ):
                client = t.connect() if state != "authenticated" else t.resume(dora.token, sync=False)
                if state == "welcomed":
                    client.welcome()
                client.frame(kind, seq)
                ends(client, "PROTOCOL", seq if seq == 0 else None)
    says_why = (
        "Before it closes it says why: an `Error`, with the seq of the request at fault or 0 if none is, or a `go_away`"
        " push, or both."
    )
    for length, kind, code, what in (
        (1 << 20, 1007, "FRAME_TOO_LARGE", "a frame that is too large"),
        (0, 0x4000 | 1007, "PROTOCOL", "the reserved bit"),
        (0, 0x8000 | 1002, "PROTOCOL", "bit 15"),
        (0, 3100, "PROTOCOL", "a push"),
    ):
        with says("3", says_why, what):
            client = t.resume(dora.token, sync=False)
            client.write(struct.pack(">IHH", length, kind, 5))
            ends(client, code, 5)
    with says("3", "a seq that is still in flight"):
        client = t.user()
        body = client.encode("SendRequest", text_request(client.id))
        head = struct.pack(">IHH", len(body), 3001, 9)
        client.write((head + body) * 2)
        frames = client.closes()
        t.equal([frame.code for frame in frames if frame.error], ["PROTOCOL"])
    with says("3", "It may close at any time; that logs nobody out."):
        gina = t.user()
        gina.close()
        gina = t.resume(gina.token)
        t.true(gina.welcomed.session.session_id)
    with says("3", "If it closes only its sending side, the server answers what is in flight and then closes."):
        seqs = [gina.ask("send", text_request(gina.id)) for _ in range(5)]
        gina.socket.shutdown(socket.SHUT_WR)
        frames = gina.closes()
        t.equal(sorted(f.seq for f in frames if f.name == "send"), seqs)

    with says("3", "It resumes the session on later connections (`Hello.session_token`) without a password."):
        hans = t.user(device={"device_id": "first", "class": 1, "name": "Phone"})
        again = t.connect()
        again.welcome(token=hans.token)
        t.equal((again.user, again.session.session_id), (hans.user, hans.session.session_id))
        t.equal(again.session.token, "", "the token is shown once")
    with says(
        "3",
        "| a second connection resumes the session | the first connection; the session goes on | `go_away` `REPLACED` |",
    ):
        frames = hans.closes()
        t.equal([(f.name, f.body.reason) for f in frames], [("go_away", 2)])
    with says("3", "what a `hello` with its token says of the device must follow the rules, and counts for nothing"):
        third = t.connect()
        third.welcome(device={"device_id": "other", "class": 3, "name": "Web"}, token=hans.token)
        device = third.works("list_devices").sessions[0].device
        t.equal((device.device_id, device.get("class"), device.name), ("first", 1, "Phone"))
        fourth = t.connect()
        fourth.ask("hello", fourth.hello(device={"device_id": "no blanks"}, token=hans.token))
        ends(fourth, "INVALID")
    with says("3", "| a login with the `device_id` of another session | that session | `go_away` `REPLACED` |"):
        fifth = t.connect()
        fifth.welcome(device={"device_id": "first", "class": 2})
        hans_again = fifth.works("login", name=hans.name, password=hans.password)
        t.true(hans_again.session_id != hans.session.session_id)
        sixth = t.connect()
        sixth.refused("UNAUTHENTICATED", "hello", **sixth.hello(token=hans.token))
    with says("10", "the same session or device connected anew: stays away"):
        frames = third.closes()
        t.equal([f.body.reason for f in frames if f.name == "go_away"], [2])
    for number, what in ((1, "MOBILE"), (2, "DESKTOP"), (3, "WEB")):
        with says("3", "of the classes `MOBILE`, `DESKTOP` and `WEB` 5 each", what):
            person = t.user(device={"device_id": "a", "class": number}, sync=False)
            devices = [person] + [
                t.device(person, device={"device_id": f"b{i}", "class": number}, sync=False) for i in range(4)
            ]
            t.equal(len(person.works("list_devices").sessions), 5)
            last = t.device(person, device={"device_id": "c", "class": number}, sync=False)
            t.equal(len(last.works("list_devices").sessions), 5)
    with says("3", "the session goes that is not connected, and of several the one whose `last_seen_at_ms` is smallest"):
        person = t.user(device={"device_id": "a", "class": 1}, sync=False)
        devices = [t.device(person, device={"device_id": f"b{i}", "class": 1}, sync=False) for i in range(4)]
        devices[1].close()
        wait_until(person, lambda: [s.online for s in person.works("list_devices").sessions].count(True) == 4)
        last = t.device(person, device={"device_id": "c", "class": 1}, sync=False)
        t.equal({s.device.device_id for s in last.works("list_devices").sessions}, {"a", "b0", "b2", "b3", "c"})
    with says("3", "A user may have 10 sessions"):
        person = t.user(device={"device_id": "a", "class": 0}, sync=False)
        for i in range(9):
            t.device(person, device={"device_id": f"b{i}", "class": 0}, sync=False)
        t.equal(len(person.works("list_devices").sessions), 10)
    with says("3", "a device of class `UNSPECIFIED` counts only among the 10"):
        last = t.device(person, device={"device_id": "c", "class": 1}, sync=False)
        t.equal(len(last.works("list_devices").sessions), 10)


# Deadlines take as long as they take: these run beside everything else.


def deadline_greeting(t):
    client, silent = t.connect(), t.connect()
    begun = time.monotonic()
    with t.says("3", "| Greeting | `hello`; `ping`, empty until a `hello` came | 5 s after connecting |"):
        client.write(b"\0")
        ends(client, "TIMEOUT")
        t.true(4.5 <= time.monotonic() - begun < 15, f"it took {time.monotonic() - begun:.1f} s")
    with t.says("3", "A client that has sent nothing is told nothing"):
        t.equal(silent.closes(15), [])
        t.true(4.5 <= time.monotonic() - begun < 15, f"it took {time.monotonic() - begun:.1f} s")


def deadline_welcomed(t):
    client = t.connect("json")
    begun = time.monotonic()
    with t.says("3", "the same 5 s, which no traffic extends"):
        client.welcome()
        while time.monotonic() - begun < 4:
            client.works("ping")
            client.listen(0.5)
        ends(client, "TIMEOUT")
        t.true(4.5 <= time.monotonic() - begun < 15, f"it took {time.monotonic() - begun:.1f} s")


def deadline_idle(t):
    client = t.user()
    begun = time.monotonic()
    with t.says("3", "40 s without a byte from the client"):
        t.equal(client.welcomed.idle_ms, 40000)
        frames = client.closes(70)
        took = time.monotonic() - begun
        t.true(39 <= took < 55, f"it took {took:.1f} s")
    with t.says("10", "nothing was heard for too long: reconnects"):
        t.equal([f.body.reason for f in frames if f.name == "go_away"], [6])
    with t.says("3", "it never pings"):
        t.equal([f.name for f in frames if f.name not in ("go_away", "error")], [])


def deadline_frame(t):
    client = t.user()
    with t.says("1", "A frame that has begun must be whole within 30 s."):
        client.write(struct.pack(">IHH", 100, 1002, 6) + b"begun")
        begun = time.monotonic()
        client.listen(15)
        client.write(b"more")
        ends(client, "TIMEOUT", patience=60)
        took = time.monotonic() - begun
        t.true(29 <= took < 45, f"it took {took:.1f} s")


def deadline_heartbeat(t):
    client = t.user()
    with t.says("3", "The client sends `ping` when it has sent nothing else for `Welcome.heartbeat_ms` (15 s)."):
        t.equal(client.welcomed.heartbeat_ms, 15000)
        for _ in range(3):
            client.listen(15)
            client.works("ping")
