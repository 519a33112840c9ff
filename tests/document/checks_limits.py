"""Checks of sections 10 to 12: pushes, errors, limits."""

import re
import time

from checker import text_request
from client import Client, direct, new_id
from mirror import Mirror


def section_10(t):
    says = t.says
    with says("10", "another device took this one's place: drops the token"):
        devices = [t.user(device={"device_id": "a", "class": 3}, sync=False)]
        for i in range(5):
            devices.append(t.device(devices[0], device={"device_id": f"b{i}", "class": 3}, sync=False))
        t.equal([(f.name, f.body.reason) for f in devices[0].closes()], [("go_away", 3)])
        client = t.connect()
        client.refused("UNAUTHENTICATED", "hello", **client.hello(token=devices[0].token))
    with says("10", "Requests that the server starts: seq 0, no answer."):
        devices[1].text(devices[1].id, "x")
        devices[1].begin()
        devices[1].text(devices[1].id, "y")
        devices[1].push("events")

    # A connection that reads late.

    anna, bert, carl = t.users(3)
    chat = anna.with_user(bert)
    slow = Client(t, source=t.next_source(), receive_buffer=4096)
    slow.welcome()
    slow.take(slow.works("login", name=bert.name, password=bert.password))
    mirror = Mirror(slow)
    mirror.sync()
    other = carl.with_user(bert)
    for sender, number in ((anna, chat), (carl, other)):
        for _ in range(95):
            sender.works("send", **text_request(number, kind=8, content={"body": b"x" * 61440}))
    with says(
        "7",
        "A server sends heads instead of events when a connection is too slow for them; nobody is dropped for being"
        " slow.",
    ):
        slow.barrier()
        t.true(slow.has("heads"), "11 MiB waited, and no heads came")
    with says("7", "pull if the cursor is below"):
        for frame in [f for f in slow.pushes if f.name == "heads"]:
            t.equal(frame.body.epoch, slow.epoch)
        mirror.drain()
        t.equal([len(mirror.logs[number]) for number in (chat, other)], [95, 95])
    with says(
        "3", "A client that reads late gets all of its answers: the next page is made when it has taken the one before."
    ):
        seqs = [slow.ask("history", {"conversation_id": chat, "from_seq": i + 1, "limit": 1}) for i in range(30)]
        carl.barrier()
        t.equal([len(slow.answer(seq).body.page.events) for seq in seqs], [1] * 30)


def section_12(t):
    says = t.says
    document = t.document
    schema = document.schema
    anna = t.user()
    limits = anna.welcomed.limits
    for sentence, value in (
        ("| `FRAME_BYTES_DEFAULT` | 65536 |", limits.frame_bytes_max),
        ("| `text_bytes_max` | 4096 |", limits.text_bytes_max),
        ("| `REQUESTS_IN_FLIGHT_MAX` | 32 |", limits.requests_in_flight_max),
        ("| `HEARTBEAT_MS` | 15000 |", anna.welcomed.heartbeat_ms),
        ("| `IDLE_MS` | 40000 |", anna.welcomed.idle_ms),
        ("2,000 members of a group (`limits.group_members_max`)", limits.group_members_max),
        ("cut to `Welcome.limits.page_events_max` (500)", limits.page_events_max),
    ):
        with says("12", sentence):
            t.true(str(value) in sentence.replace(",", ""), str(value))

    def burst(command, fields, count, rate, size, what):
        """Asks as fast as the server answers, and compares how many it let pass."""
        client = t.user()
        client.barrier()
        begun = time.monotonic()
        seqs = [client.ask(command, fields(client)) for _ in range(count)]
        answers = [client.answer(seq) for seq in seqs]
        took = time.monotonic() - begun
        passed = sum(not a.error for a in answers)
        refused = [a for a in answers if a.error]
        t.true(size - 5 <= passed <= size + rate * took + 5, f"{passed} {what} of {count} passed in {took:.1f} s")
        t.true(refused, "none was refused")
        for answer in refused:
            client.judge("RATE_LIMITED", answer)
            t.true(answer.body.retry_after_ms, "no wait")
        client.listen(refused[-1].body.retry_after_ms / 1000 + 0.05)
        t.true(not client.answer(client.ask(command, fields(client))).error, "after the wait it was refused again")
        return client

    with says("12", "20 sends a second with bursts of 100"):
        burst("send", lambda c: text_request(c.id), 160, 20, 100, "sends")
    with says("12", "50 other requests a second with bursts of 200 per user"):
        burst("list_devices", lambda c: {}, 330, 50, 199, "requests")
    with says("12", "and as many pings"):
        client = burst("ping", lambda c: {}, 330, 50, 200, "pings")
    with says("12", "a `ping` with seq 0 beyond closes"):
        client = t.user()
        for _ in range(400):
            client.frame(1002, 0)
        frames = client.closes()
        t.equal([(f.code, f.seq) for f in frames if f.error], [("RATE_LIMITED", 0)])
    with says("12", "500 conversations a second with bursts of 5,000 that a user reports as delivered"):
        client = t.user()
        pairs = [{"conversation_id": direct(client.id, 1 << 30 | i), "seq": 1} for i in range(1000)]
        begun = time.monotonic()
        codes = [client.answer(client.ask("delivered", {"up_to": pairs})).code for _ in range(7)]
        t.true(codes[:5] == [None] * 5 and "RATE_LIMITED" in codes[5:] or time.monotonic() - begun > 1, repr(codes))
    with says("12", "600 people named in a minute with bursts of 2,000 in groups that a user makes or adds to"):
        client = t.user()
        people = [1 << 30 | i for i in range(1000)]
        codes = [
            client.answer(client.ask("create_group", {"client_msg_id": new_id(), "name": "G", "user_ids": people})).code
            for _ in range(3)
        ]
        t.equal(codes, ["NOT_FOUND", "NOT_FOUND", "RATE_LIMITED"])

    def guess(source, name):
        client = t.connect(source=source)
        client.welcome()
        code = client.answer(client.ask("login", {"name": name, "password": "wrong horse"})).code
        client.close()
        return code

    with says("12", "30 passwords a minute from one address"):
        source = t.far_source(1)
        begun = time.monotonic()
        codes = [guess(source, t.new_name()) for _ in range(34)]
        passed = codes.count("BAD_CREDENTIALS")
        t.true(30 <= passed <= 31 + (time.monotonic() - begun) / 2 and codes[-1] == "RATE_LIMITED", repr(codes))
    with says("12", "and 60 for one account"):
        begun = time.monotonic()
        codes = [guess(t.far_source(2 + i // 20), anna.name) for i in range(66)]
        passed = codes.count("BAD_CREDENTIALS")
        t.true(60 <= passed <= 61 + (time.monotonic() - begun) and codes[-1] == "RATE_LIMITED", repr(codes))

    # The tables of the document against its own appendix.

    for name, (number, _, _) in document.codes.items():
        with says("11", f"| {number} | `{name}` |"):
            t.equal(schema.constants["ERROR_CODE_" + name], number)
    with says(
        "11",
        "| number | code | usual class | usual wait | meaning, and what a client does |",
        "all codes of the schema are in it",
    ):
        t.equal({"ERROR_CODE_" + name for name in document.codes}, set(schema.enums["ErrorCode"]))
    with says("5", "| number | kind | displayable | carries |", "all kinds of the schema are in it"):
        rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \| (?:yes|no) \|", document.text, re.M))
        t.equal(
            {"EVENT_KIND_" + name: int(number) for number, name in rows.items()} | {"EVENT_KIND_UNSPECIFIED": 0},
            schema.enums["EventKind"],
        )
    with says("9", "| number | command | request | answer |", "all messages are in the schema"):
        for name, request, answer in document.commands.values():
            t.true(request in schema.messages and answer in schema.messages, name)


def deadline_edits(t):
    anna = t.user()
    chat = anna.id
    target = anna.text(chat, "x").seq
    edit = lambda i: anna.request(
        "send", conversation_id=chat, client_msg_id=new_id(), kind=32, target_seq=target, content={"body": b"%d" % i}
    )
    with t.says("6", "| edit | the message's sender, up to 1,000 times |"):
        for i in range(1000):
            t.true(not edit(i).error)
        anna.judge("LIMIT_REACHED", edit(1000))
    with t.says("5", "The newest edit stands in `revision`"):
        t.equal(anna.history(chat, target, 1).events[0].revision.content.body, b"999")


def deadline_events(t):
    anna = t.user()
    for i in range(501):
        anna.works("send", **text_request(anna.id, b"%d" % i))
    with t.says("9", "events, 1 or more; cut to `Welcome.limits.page_events_max` (500)", "forward"):
        page = anna.history(anna.id, 1, 501)
        t.equal((len(page.events), page.from_seq, page.to_seq, page.head_seq), (500, 1, 500, 501))
    with t.says("9", "events, 1 or more; cut to `Welcome.limits.page_events_max` (500)", "backward"):
        page = anna.history(anna.id, 0, 501, direction=1)
        t.equal((len(page.events), page.from_seq, page.to_seq, page.head_seq), (500, 2, 501, 501))


def deadline_conversations(t):
    anna = t.user()
    made = [anna.works("create_group", client_msg_id=new_id(), name=f"{i}").conversation_id for i in range(501)]
    with t.says("9", "`before`: empty, or from the page before. `limit`: 1 or more; cut to 200."):
        first = anna.works("list_conversations", limit=201)
        t.equal((len(first.conversations), first.more), (200, True))
    with t.says("9", "those with the newest visible event first"):
        pages = [first]
        while pages[-1].more:
            pages.append(anna.works("list_conversations", limit=500, before=pages[-1].before))
        t.equal([c.conversation_id for page in pages for c in page.conversations], made[::-1])
    with t.says("9", "`limit`: changes, 1 or more; cut to 500."):
        answer = anna.works("sync", limit=501)
        t.equal((len(answer.conversations) + len(answer.cursors), answer.more), (500, True))
    with t.says("7", "oldest change first"):
        rest = anna.works("sync", limit=501, token=answer.token)
        t.equal([c.conversation_id for c in answer.conversations + rest.conversations], made)
        t.true(not rest.more)
