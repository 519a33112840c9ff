"""Checks of who is displaced, of what a client that comes back finds, and of numbers that do not fit their fields."""

from checker import raw_send, text_request, wait_until
from client import new_id
from schema import varint


def section_2_numbers(t):
    says = t.says
    anna = t.user()
    note = anna.id
    for _ in range(3):
        anna.text(note, "x")
    encode = t.document.schema.encode
    for limit in ((1 << 32) | 1, (1 << 63) | 1, (1 << 64) - (1 << 32) + 1):
        with says("2", "the low 32 of a `uint32` and of an enumeration", f"limit {limit:#x}"):
            body = encode("HistoryRequest", {"conversation_id": note, "from_seq": 1}) + b"\x20" + varint(limit)
            t.equal(len(anna.works("history", body=body).page.events), 1)
    with says("2", "the low 32 of a `uint32` and of an enumeration", "a kind"):
        body = raw_send(anna, note, tail=b"\x18" + varint((1 << 32) | 1))
        t.equal(anna.history(note, anna.works("send", body=body).seq).events[0].kind, 1)
    with says("2", "The rules judge what the field has", "a limit whose low bits are 0"):
        body = encode("HistoryRequest", {"conversation_id": note, "from_seq": 1}) + b"\x20" + varint(1 << 32)
        anna.refused("INVALID", "history", body=body, blame="limit")
    with says("2", "a `bool` is true if any bit is set"):
        bert = t.user()
        anna.text(anna.with_user(bert), "hello")
        body = encode("TypingRequest", {"conversation_id": anna.with_user(bert)}) + b"\x10" + varint(1 << 40)
        anna.works("typing", body=body)
        t.true(bert.push("typing_push").typing)
    for number in (b"\xff" * 10 + b"\x01", b"\xff" * 9 + b"\x02"):
        with says("2", "A varint of more than ten bytes, or of more than 64 bits, is no message.", number.hex()):
            body = encode("HistoryRequest", {"conversation_id": note, "from_seq": 1}) + b"\x20" + number
            anna.refused("INVALID", "history", body=body, blame="")


def listed(client):
    return {s.session_id: s for s in client.works("list_devices").sessions}


def closed(client, reason):
    """The connection ends with this reason, and the token is void."""
    frames = client.closes()
    return [f.body.get("reason") for f in frames if f.name == "go_away"] == [reason]


def section_3_sessions(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna = t.user(encoding)
        with says("3", "A `hello` that comes too often, from its address or with the token of its user", encoding):
            seqs = [anna.ask("list_devices") for _ in range(260)]
            t.true("RATE_LIMITED" in [anna.answer(seq).code for seq in seqs])
            client = t.connect(encoding)
            while True:
                answer = client.answer(client.ask("hello", client.hello(token=anna.token)))
                if answer.error:
                    break
                client = t.connect(encoding)
            client.judge("RATE_LIMITED", answer)
            t.true(answer.body.retry_after_ms, "no wait")
        with says("3", "That says nothing about the token, which the client keeps.", encoding):
            client.listen(answer.body.retry_after_ms / 1000 + 0.05)
            t.equal(client.works("hello", **client.hello(token=anna.token)).session.user, anna.user)

    desk = {"class": 2}
    bert = t.user(device=dict(desk, device_id="b0"))
    with says("3", "A login displaces before it is answered, and never the session that it makes."):
        devices = [t.device(bert, device=dict(desk, device_id=f"b{i}")) for i in range(1, 5)]
        t.equal(len(listed(bert)), 5)
    with says("3", "`last_seen_at_ms` in `list_devices` is when the server last noted that the session was connected"):
        for session in listed(bert).values():
            t.true(0 <= session.last_seen_at_ms - session.created_at_ms < 60_000, repr(session))
    with says("3", "the session goes that is not connected"):
        unused = devices.pop(2)
        unused.close()
        wait_until(bert, lambda: not listed(bert)[unused.session.session_id].online)
        devices.append(t.device(bert, device=dict(desk, device_id="b5")))
        client = t.connect()
        client.refused("UNAUTHENTICATED", "hello", **client.hello(token=unused.token))
        t.equal(set(listed(bert)), {c.session.session_id for c in [bert, *devices]})
    with says("3", "| `go_away` `DISPLACED` | `UNAUTHENTICATED` at its next `hello` |"):
        sixth = t.device(bert, device=dict(desk, device_id="b6"))
        t.true(closed(bert, 3), "the one seen longest ago is not told DISPLACED")
        client = t.connect()
        client.refused("UNAUTHENTICATED", "hello", **client.hello(token=bert.token))
    with says("3", "| a login with the `device_id` of another session | that session | `go_away` `REPLACED` |"):
        t.device(bert, device=dict(desk, device_id="b6"))
        t.true(closed(sixth, 2), "not told REPLACED")
        client = t.connect()
        client.refused("UNAUTHENTICATED", "hello", **client.hello(token=sixth.token))
    with says("3", "a device of class `UNSPECIFIED` counts only among the 10"):
        others = [t.device(bert, device={"class": 0, "device_id": f"n{i}"}) for i in range(5)]
        t.equal(len(listed(others[0])), 10)


def section_7_missed(t):
    says = t.says
    anna, bert, carl = t.users(3)
    phone = t.device(anna, device={"device_id": "phone", "class": 1})
    direct = anna.with_user(bert)
    mine = anna.text(direct, "a question").seq
    old = bert.group(anna, carl, name="Old")
    left = bert.group(anna, carl, name="Left")
    ended = bert.group(anna, carl, name="Ended")
    said = anna.text(old, "first").seq
    known = {c.conversation_id: c for c in anna.works("list_conversations", limit=100).conversations}
    token = anna.begin().token
    anna.close()
    # Meanwhile.
    answered = bert.text(direct, "an answer", reply_to=mine).seq
    bert.works("send", **text_request(old, b"look", content={"body": b"look", "mentions": [anna.id]}))
    look = bert.text(old, "more").seq - 1
    reacted = bert.works(
        "send", conversation_id=old, client_msg_id=new_id(), kind=34, target_seq=said, reaction="+1"
    ).seq
    carl.works("read", conversation_id=old, seq=reacted)
    bert.works("rename_group", conversation_id=old, client_msg_id=new_id(), name="New")
    bert.works("remove_member", conversation_id=left, client_msg_id=new_id(), user_id=anna.id)
    bert.text(left, "unseen")
    bert.works("disband_group", conversation_id=ended, client_msg_id=new_id())
    bert.text(bert.with_user(carl), "not hers")
    added = bert.group(anna, name="Added")
    phone.works("read", conversation_id=old, seq=look)
    own = phone.text(added, "from the phone").seq
    members = lambda: {m.user_id: m.read_seq for m in bert.works("list_members", conversation_id=old, limit=9).members}
    wait_until(bert, lambda: (members()[carl.id], members()[anna.id]) == (reacted, look))
    # Back.
    anna = t.resume(anna.token, sync=False)
    answer = anna.works("sync", token=token, limit=500)
    changed = {c.conversation_id: c for c in answer.conversations}
    pages = {p.conversation_id: p for p in answer.pages}
    with says("7", "All of it follows from the answers to [`sync`](#reconnecting-in-step), up to the one with `more: false`"):
        t.equal(set(changed), {direct, old, left, ended, added})
    with says("7", "| new messages, and their number | a listed conversation's `unread`; the events above the device's cursor"):
        t.equal((changed[direct].unread, changed[old].unread), (1, 1))
        t.equal([e.seq for e in pages[direct].events if e.seq > known[direct].head_seq], [answered])
    with says("7", "`content.mentions`, and `content.reply_to` with a message of one's own"):
        t.true(any(anna.id in e.body.content.get("mentions", ()) for e in pages[old].events if "body" in e))
        t.equal(pages[direct].events[-1].body.content.reply_to, mine)
    with says("7", "| edits, recalls, reactions, names, members | those events, each an event of its own"):
        kinds = [e.kind for e in pages[old].events if e.seq > known[old].head_seq]
        t.equal(kinds, [1, 1, 34, 69])
    with says("7", "listed, and unknown to the device: it begins at `first_seq`"):
        t.true(added not in known)
        t.equal(changed[added].first_seq, 1)
    with says("7", "listed: `member` is false, or `disbanded` is true; the last event says who did it"):
        t.true("member" not in changed[left] and changed[ended].disbanded)
        t.equal((pages[left].events[-1].kind, pages[left].events[-1].sender_id), (66, bert.id))
        t.equal((pages[ended].events[-1].kind, pages[ended].events[-1].sender_id), (70, bert.id))
        t.equal(changed[left].unread, 0, "what was said afterwards")
    with says("7", "`cursors` of the user, and events whose `sender_id` is the user's"):
        t.true(any((c.user_id, c.conversation_id, c.read_seq) == (anna.id, old, look) for c in answer.cursors))
        t.true(any(e.sender_id == anna.id and e.seq == own for e in pages[added].events))
    with says("7", "| what others have received and read | `cursors` of others, where the user is a member |"):
        t.true(any((c.conversation_id, c.user_id, c.read_seq) == (old, carl.id, reacted) for c in answer.cursors))
    with says("7", "if `roster` is another one than the device knows: `list_members`"):
        t.equal((changed[old].roster, changed[left].roster > known[left].roster), (known[old].roster, True))
    with says("7", "and what takes its place has a new client id", "what is still to be sent is repeated under its own"):
        client_id = new_id()
        first = anna.text(direct, "sent", client_id)
        anna.works("read", conversation_id=direct, seq=first.seq + 9)
        anna.push("heads", lambda p: p.resync)
        t.true(anna.works("sync", token=answer.token, limit=500).restarted)
        again = anna.text(direct, "sent", client_id)
        t.equal((again.seq, again.duplicate), (first.seq, True))

