"""Statements: what is checked, under which sentence, and the people and connections for it."""

import base64
import contextlib
import itertools
import json
import os
import threading
import time

from client import Client, new_id
from schema import PATIENCE, Closed, Differs, Document, Late, varint


class Test:
    def __init__(self, options):
        host, port = options.server.rsplit(":", 1)
        self.server = (host.strip("[]"), int(port))
        with open(options.document, encoding="utf-8") as file:
            self.document = Document(file.read())
        self.lock = threading.Lock()
        self.local = threading.local()
        self.sources = itertools.count(1)
        self.names = itertools.count(1)
        self.checked = self.differ = 0
        self.run = os.urandom(3).hex()

    def next_source(self):
        """An address of this machine; each has rates of its own."""
        with self.lock:
            number = next(self.sources)
        return f"127.0.{1 + number // 8 // 250}.{1 + number // 8 % 250}"

    def far_source(self, number):
        """An address that nothing else uses."""
        return f"127.77.0.{number}"

    def begin(self, name):
        """Statements are numbered, and connections kept, by function: each has a thread of its own or its turn."""
        self.local.name, self.local.number, self.local.opened = name, 0, []

    @contextlib.contextmanager
    def says(self, section, sentence, about=""):
        """One statement: what happens inside must agree with the sentence, which must be in the document."""
        problem = None
        try:
            yield
            if not self.document.says(sentence):
                raise Differs("the document does not say this")
        except (
            Differs,
            Late,
            Closed,
            OSError,
            AssertionError,
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
        ) as e:
            problem = f"{type(e).__name__}: {e}"
            if isinstance(e, NameError) or not isinstance(e, (Differs, Late, Closed, OSError)):
                line = e.__traceback__
                while line.tb_next:
                    line = line.tb_next
                problem += f" ({os.path.basename(line.tb_frame.f_code.co_filename)} {line.tb_lineno})"
        except NameError as e:
            problem = f"not checked, as something before it failed ({e})"
        self.local.number += 1
        with self.lock:
            self.checked += 1
            if problem:
                self.differ += 1
                quotation = " ".join(sentence.split())
                about = f" [{about}]" if about else ""
                number = f"{self.local.name} {self.local.number}"
                print(f"{number}: §{section}{about} “{quotation}”: {problem:.400}", flush=True)

    def equal(self, is_, should, what=""):
        if is_ != should:
            raise Differs(f"{what}: {is_!r:.300}, not {should!r:.300}")

    def true(self, holds, what="it is not so"):
        if not holds:
            raise Differs(what)

    def connect(self, encoding="protobuf", source=None):
        return Client(self, encoding, source)

    def new_name(self, prefix="u"):
        with self.lock:
            return f"{prefix}{self.run}.{next(self.names)}"

    def user(self, encoding="protobuf", name=None, capabilities=0, device=None, display_name="", sync=True):
        """Registers somebody new, on a connection of their own."""
        client = self.connect(encoding)
        client.welcome(device, capabilities=capabilities)
        client.name = name or self.new_name()
        client.password = "correct horse"
        client.take(client.works("register", name=client.name, password=client.password, display_name=display_name))
        if sync:
            client.begin()
        return client

    def users(self, count, **how):
        return [self.user(**how) for _ in range(count)]

    def device(self, user, encoding="protobuf", capabilities=0, device=None, sync=True):
        """Another device of theirs, with a session of its own."""
        client = self.connect(encoding)
        client.welcome(device, capabilities=capabilities)
        client.name, client.password = user.name, user.password
        client.take(client.works("login", name=user.name, password=user.password))
        if sync:
            client.begin()
        return client

    def resume(self, token, encoding="protobuf", capabilities=0, sync=True):
        client = self.connect(encoding)
        client.welcome(token=token, capabilities=capabilities)
        if sync:
            client.begin()
        return client


def ends(client, code, seq=None, patience=PATIENCE):
    """The server says that code, with that seq, and closes; and says nothing else but go_away."""
    frames = client.closes(patience)
    errors = [frame for frame in frames if frame.error]
    if [frame.code for frame in errors] != [code]:
        raise Differs(f"before the close came {frames}, not {code}")
    client.judge(code, errors[0])
    if seq is not None and errors[0].seq != seq:
        raise Differs(f"{code} has seq {errors[0].seq}, not {seq}")
    if any(not frame.error and frame.name != "go_away" for frame in frames):
        raise Differs(f"before the close came {frames}")
    return errors[0].body


def text_request(conversation, text=b"text", **changed):
    return dict(
        {"conversation_id": conversation, "client_msg_id": new_id(), "kind": 1, "content": {"body": text}}, **changed
    )


def raw_send(client, conversation, content=b"\x12\x01x", tail=b""):
    """A send put together by hand, in protobuf."""
    fields = {"conversation_id": conversation, "client_msg_id": new_id(), "kind": 1}
    return client.schema.encode("SendRequest", fields) + b"\x2a" + varint(len(content)) + content + tail


def raw_json(conversation, **changed):
    """A send in JSON, as pieces of text that a check can change."""
    pieces = {
        "conversation_id": f'"{conversation}"',
        "client_msg_id": json.dumps(base64.b64encode(new_id()).decode()),
        "kind": '"EVENT_KIND_TEXT"',
        "content": '{"body":"eA=="}',
    }
    pieces.update(changed)
    return ("{" + ",".join(f'"{name}":{value}' for name, value in pieces.items() if value is not None) + "}").encode()


def wait_until(client, holds):
    """Asks until it is so."""
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            raise Late("it did not become so")
        client.listen(0.05)
