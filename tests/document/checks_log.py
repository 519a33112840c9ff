"""Checks of sections 4 and 5: identities and the log."""

import os

from checker import text_request
from client import new_id


def section_4(t):
    says = t.says
    anna, bert, carl = t.users(3)
    with says("4", "1 to 2^31 − 1, given at registration"):
        t.true(1 <= anna.id < 1 << 31)
    names = ("a" + os.urandom(15).hex() + "a", "9." + os.urandom(4).hex(), "A-_." + os.urandom(4).hex())
    for name in names:
        with says("4", "1 to 32 of `A-Z a-z 0-9 . _ -`, the first one a letter or digit", name):
            t.equal(t.user(name=name).user.name, name.lower())
    with says("4", "1 to 32 of `A-Z a-z 0-9 . _ -`, the first one a letter or digit", "one character"):
        name = next(c for c in "qwxyzkjvp" if anna.request("find_user", name=c).code == "NOT_FOUND")
        t.user(name=name)
    for name in ("", "a" * 33, ".a", "_a", "-a", "a b", "ä", "a@b", "a\n", "a\0", " a", "а"):
        with says("4", "1 to 32 of `A-Z a-z 0-9 . _ -`, the first one a letter or digit", repr(name)):
            client = t.connect()
            client.welcome()
            client.refused("INVALID", "register", name=name, password="correct horse", blame="name")
            client.refused("INVALID", "login", name=name, password="correct horse", blame="name")
            anna.refused("INVALID", "find_user", name=name, blame="name")
    with says("4", "upper and lower case are the same account, and the server keeps the lower case"):
        name = t.new_name("MiXed")
        client = t.user(name=name)
        t.equal((client.user.name, client.user.display_name), (name.lower(), name))
        t.equal(anna.works("find_user", name=name.upper()).user.user_id, client.id)
        other = t.connect()
        other.welcome()
        other.refused("NAME_TAKEN", "register", name=name.swapcase(), password="correct horse")
        t.equal(other.works("login", name=name.swapcase(), password="correct horse").user.user_id, client.id)
    with says("4", "opaque, at most 256 bytes", "session token"):
        t.true(1 <= len(anna.token.encode()) <= 256)
    with says("4", "opaque, at most 256 bytes, signed by the server"):
        token = anna.works("sync", limit=1).token
        t.true(1 <= len(token) <= 256)
        anna.refused("INVALID", "sync", token=token[:-1] + bytes([token[-1] ^ 1]), limit=1, blame="token")
        anna.refused("INVALID", "sync", token=token + b"x", limit=1, blame="token")
    with says(
        "4", "`1 << 62 \\| low << 31 \\| high`, `low` being the smaller of the two user ids and `high` the larger"
    ):
        chat = anna.with_user(bert)
        t.equal(anna.text(chat, "hello").conversation_id, chat)
        t.equal(bert.event(chat, 1).conversation_id, chat)
        conversation = anna.conversation(chat)
        t.equal((conversation.kind, conversation.peer_id), (2, bert.id))
        t.equal(bert.conversation(chat).peer_id, anna.id)
    with says("4", "bits 63 to 31 are 0"):
        anna.text(anna.id, "note")
        conversation = anna.conversation(anna.id)
        t.equal((conversation.kind, conversation.peer_id, conversation.member), (1, 0, True))
    with says("4", "bit 62 is 0, bit 61 is 1"):
        group = anna.group(bert)
        t.equal(group >> 61, 1)
        t.equal(anna.conversation(group).kind, 3)
    with says("4", "by the server, from the creator and the client id of `create_group`"):
        client_id = new_id()
        made = anna.works("create_group", client_msg_id=client_id, name="One", user_ids=[bert.id])
        other = bert.works("create_group", client_msg_id=client_id, name="One", user_ids=[anna.id])
        t.true(made.conversation_id != other.conversation_id)
    with says("4", "a creation that is repeated meets the group it made"):
        again = anna.works("create_group", client_msg_id=client_id, name="One", user_ids=[bert.id])
        t.equal((again.conversation_id, again.seq, again.duplicate), (made.conversation_id, made.seq, True))
    with says("4", "it begins with the first message"):
        fresh = anna.with_user(carl)
        for command, fields in (("get_conversation", {}), ("history", {"limit": 1}), ("list_members", {"limit": 1})):
            anna.refused("NOT_FOUND", command, conversation_id=fresh, **fields)
            carl.refused("NOT_FOUND", command, conversation_id=carl.id, **fields)
    with says(
        "4",
        "Until a conversation has begun it is in no list, and `get_conversation`, `history` and `list_members` say"
        " `NOT_FOUND`",
    ):
        t.equal(carl.works("list_conversations", limit=200).conversations, [])
        t.equal(anna.works("get_conversations", conversation_ids=[fresh]).conversations, [])
    with says("4", "what is [not stored](#6-sending) passes through it all the same"):
        anna.works("typing", conversation_id=fresh, typing=True)
        push = carl.push("typing_push")
        t.equal((push.conversation_id, push.user_id, push.typing), (fresh, anna.id, True))
        anna.works("send", **text_request(fresh, quality=2))
        t.equal(carl.push("transient").conversation_id, fresh)
        anna.refused("NOT_FOUND", "get_conversation", conversation_id=fresh)
    with says("4", "It too begins with the first message."):
        t.equal(carl.text(carl.id, "note").seq, 1)
    with says("4", "A user's own log is a conversation with that user alone: notes to oneself."):
        for command, fields in (("get_conversation", {}), ("history", {"limit": 1}), ("list_members", {"limit": 1})):
            anna.refused("NOT_FOUND", command, conversation_id=carl.id, **fields)
        anna.refused("NOT_FOUND", "send", **text_request(carl.id))
        anna.refused("NOT_FOUND", "typing", conversation_id=carl.id)
    bad = {
        "0": 0,
        "bit 63": 1 << 63 | anna.id,
        "bits 31 to 60": 1 << 31 | anna.id,
        "bit 60": 1 << 60,
        "user 0 and somebody": 1 << 62 | anna.id,
        "nobody": 1 << 62,
        "the same user twice": 1 << 62 | anna.id << 31 | anna.id,
        "the larger id first": 1 << 62 | bert.id << 31 | anna.id,
        "bit 63 and 62": 3 << 62 | anna.id << 31 | bert.id,
    }
    requests = (
        ("send", text_request(0)),
        ("history", {"limit": 1}),
        ("get_conversation", {}),
        ("typing", {}),
        ("read", {"seq": 1}),
        ("list_members", {"limit": 1}),
    )
    for what, conversation in bad.items():
        with says(
            "4",
            "Ids that fit none of the kinds, or name a user 0 or the same user twice, are refused as `INVALID`.",
            what,
        ):
            for command, fields in requests:
                anna.refused("INVALID", command, **dict(fields, conversation_id=conversation), blame="conversation_id")
            anna.refused("INVALID", "delivered", up_to=[{"conversation_id": conversation, "seq": 1}])
            anna.refused("INVALID", "get_conversations", conversation_ids=[conversation], blame="conversation_ids")
    for what, conversation in (("own log", anna.id), ("1:1", chat)):
        with says("9", "| `conversation_id` | a group's id |", what):
            for command, fields in (
                ("add_members", {"user_ids": [carl.id]}),
                ("remove_member", {"user_id": bert.id}),
                ("leave_group", {}),
                ("set_role", {"user_id": bert.id, "role": 2}),
                ("rename_group", {"name": "New"}),
                ("disband_group", {}),
            ):
                anna.refused(
                    "INVALID",
                    command,
                    conversation_id=conversation,
                    client_msg_id=new_id(),
                    **fields,
                    blame="conversation_id",
                )


def section_5(t):
    says = t.says
    anna, bert, carl, dora = t.users(4)
    chat = anna.with_user(bert)
    blob = {"blob_id": "b"}
    displayable = (
        (1, {"body": b"x"}),
        (2, {"blob": blob}),
        (3, {"blob": blob}),
        (4, {"blob": blob}),
        (5, {"blob": blob}),
        (6, {}),
        (7, {}),
        (8, {}),
    )
    for place, (kind, content) in enumerate(displayable, 1):
        name = next(n for n, v in t.document.schema.enums["EventKind"].items() if v == kind).replace("EVENT_KIND_", "")
        with says("5", f"| {kind} | `{name}` | yes |"):
            answer = anna.works("send", conversation_id=chat, client_msg_id=new_id(), kind=kind, content=content)
            t.equal((answer.seq, answer.ordinal), (place, place))
            event = bert.event(chat, answer.seq)
            t.equal((event.kind, event.ordinal, event.body.content), (kind, place, dict(content)))
    changes = (
        (32, "EDIT", {"target_seq": 1, "content": {"body": b"y"}}),
        (34, "REACTION", {"target_seq": 1, "reaction": "+"}),
        (33, "RECALL", {"target_seq": 1}),
    )
    for place, (kind, name, fields) in enumerate(changes, 9):
        with says("5", f"| {kind} | `{name}` | no |"):
            answer = anna.works("send", conversation_id=chat, client_msg_id=new_id(), kind=kind, **fields)
            t.equal((answer.seq, answer.ordinal), (place, 8))
            event = bert.event(chat, answer.seq)
            t.equal((event.kind, event.ordinal, event.target_seq), (kind, 8, 1))
            t.equal(
                (event.body.content.get("body"), event.body.reaction),
                (fields.get("content", {}).get("body"), fields.get("reaction", "")),
            )
    with says("5", "each is an event, and each has the next seq of its conversation"):
        page = bert.history(chat)
        t.equal([e.seq for e in page.events], list(range(1, 12)))
    with says(
        "5",
        "**roster**: the seq of the newest event at or before this one that changed who is a member, or a member's"
        " role; 0 if there is none.",
    ):
        t.equal({e.roster for e in page.events}, {0})
    group_id = new_id()
    steps = (
        (
            64,
            "GROUP_CREATED",
            "create_group",
            {"name": "Hike", "user_ids": [bert.id, carl.id]},
            {"user_ids": sorted([anna.id, bert.id, carl.id]), "name": "Hike"},
            True,
        ),
        (65, "MEMBERS_ADDED", "add_members", {"user_ids": [dora.id]}, {"user_ids": [dora.id]}, True),
        (68, "ROLE_CHANGED", "set_role", {"user_id": bert.id, "role": 2}, {"user_ids": [bert.id], "role": 2}, True),
        (66, "MEMBER_REMOVED", "remove_member", {"user_id": dora.id}, {"user_ids": [dora.id]}, True),
        (69, "GROUP_RENAMED", "rename_group", {"name": "Walk"}, {"name": "Walk"}, False),
        (67, "MEMBER_LEFT", "leave_group", {}, {"user_ids": [carl.id]}, True),
        (70, "GROUP_DISBANDED", "disband_group", {}, {}, False),
    )
    group = roster = 0
    for place, (kind, name, command, fields, carries, member) in enumerate(steps, 1):
        with says("5", f"| {kind} | `{name}` | no |"):
            who = carl if command == "leave_group" else anna
            client_id = group_id if place == 1 else new_id()
            if place > 1:
                fields = dict(fields, conversation_id=group)
            answer = who.works(command, client_msg_id=client_id, **fields)
            group = answer.conversation_id
            roster = place if member else roster
            t.equal((answer.seq, answer.ordinal, answer.roster, answer.epoch), (place, 0, roster, anna.epoch))
            event = bert.event(group, place)
            t.equal(
                (event.kind, event.sender_id, event.client_msg_id, event.roster, event.ordinal),
                (kind, who.id, client_id, roster, 0),
            )
            t.equal(event.body.group, carries, "group")
            t.equal(event.sent_at_ms, answer.sent_at_ms)
    with says("5", "An event that is pushed shows the moment it was made"):
        answer = anna.text(chat, "first")
        anna.works(
            "send",
            conversation_id=chat,
            client_msg_id=new_id(),
            kind=32,
            target_seq=answer.seq,
            content={"body": b"second"},
        )
        event = bert.event(chat, answer.seq)
        t.true("revision" not in event and event.body.content.body == b"first")
    with says("5", "**body**: what the sender chose. Absent when it was erased."):
        event = page.events[0]
        t.true("body" not in event and event.recalled)
    with says("5", "a later recall erased this message's body and those of its edits: from then on no answer has them"):
        t.equal((event.seq, event.ordinal), (1, 1))
        edit = page.events[8]
        t.equal((edit.kind, "body" in edit, edit.ordinal), (32, False, 8))
    with says("5", "a later recall erased this message's body", "a revision is a body, too"):
        t.true("revision" not in event, repr(event))
    with says("5", "only in pages of history: what later events made of this one", "revision"):
        target = anna.text(chat, "one", reply_to=2, expires_at_ms=1 << 50)
        for text in (b"two", b"three"):
            edit = anna.works(
                "send",
                conversation_id=chat,
                client_msg_id=new_id(),
                kind=32,
                target_seq=target.seq,
                content={"body": text, "fallback": "f"},
            )
        event = bert.history(chat, target.seq, 1).events[0]
        t.equal((event.body.content.body, event.body.content.reply_to), (b"one", 2))
        t.equal((event.revision.seq, event.revision.content), (edit.seq, {"body": b"three", "fallback": "f"}))
    with says("5", "only in pages of history: what later events made of this one", "reactions"):
        for who, text in ((bert, "a"), (anna, "b"), (bert, "c")):
            last = who.works(
                "send", conversation_id=chat, client_msg_id=new_id(), kind=34, target_seq=target.seq, reaction=text
            )
        event = bert.history(chat, target.seq, 1).events[0]
        t.equal(sorted((r.user_id, r.reaction) for r in event.reactions), sorted([(anna.id, "b"), (bert.id, "c")]))
        t.equal(event.reactions_total, 2)
        t.true(last.seq in [r.seq for r in event.reactions])
    with says("5", "empty takes the user's reaction back"):
        bert.works("send", conversation_id=chat, client_msg_id=new_id(), kind=34, target_seq=target.seq)
        event = bert.history(chat, target.seq, 1).events[0]
        t.equal(([r.user_id for r in event.reactions], event.reactions_total), ([anna.id], 1))
    with says("5", "**expired**: the message's `content.expires_at_ms` has passed. The body is left out", "on the way"):
        past = anna.text(chat, "late", expires_at_ms=1)
        event = bert.event(chat, past.seq)
        t.true(event.expired and "body" not in event, repr(event))
    with says("5", "**expired**: the message's `content.expires_at_ms` has passed. The body is left out", "in a page"):
        event = bert.history(chat, past.seq, 1).events[0]
        t.true(event.expired and "body" not in event and event.ordinal == past.ordinal, repr(event))
    with says("5", "so are those of all of its edits, whose events expire with it"):
        soon = anna.works("ping").server_time_ms + 900
        short = anna.text(chat, "short", expires_at_ms=soon)
        edit = anna.works(
            "send",
            conversation_id=chat,
            client_msg_id=new_id(),
            kind=32,
            target_seq=short.seq,
            content={"body": b"edited"},
        )
        t.true("body" in bert.history(chat, edit.seq, 1).events[0])
        bert.listen(1.2)
        events = bert.history(chat, short.seq, 2).events
        t.equal([(e.expired, "body" in e, "revision" in e) for e in events], [(True, False, False)] * 2)
    with says("5", "So do its reactions, as those of an expired one do, but nobody can take them back any more"):
        liked = anna.text(chat, "liked")
        react = {"conversation_id": chat, "kind": 34, "target_seq": liked.seq}
        bert.works("send", client_msg_id=new_id(), reaction="x", **react)
        anna.works("send", conversation_id=chat, client_msg_id=new_id(), kind=33, target_seq=liked.seq)
        event = bert.history(chat, liked.seq, 1).events[0]
        t.equal((event.recalled, [r.user_id for r in event.reactions]), (True, [bert.id]))
        bert.refused("GONE", "send", client_msg_id=new_id(), **react)
    with says("6", "the message can be recalled but not edited or reacted to"):
        anna.refused(
            "GONE",
            "send",
            conversation_id=chat,
            client_msg_id=new_id(),
            kind=32,
            target_seq=short.seq,
            content={"body": b"no"},
        )
        bert.refused(
            "GONE", "send", conversation_id=chat, client_msg_id=new_id(), kind=34, target_seq=short.seq, reaction="+"
        )
        anna.works("send", conversation_id=chat, client_msg_id=new_id(), kind=33, target_seq=short.seq)
        t.true(bert.history(chat, short.seq, 1).events[0].recalled)

    # What a user sees.

    group = anna.group(bert, name="Then")
    seen = lambda who: [e.seq for e in who.history(group).events]
    act = lambda who, command, **fields: who.works(command, conversation_id=group, client_msg_id=new_id(), **fields)
    anna.text(group, "2")
    act(anna, "add_members", user_ids=[carl.id])  # 3
    anna.text(group, "4")
    anna.text(group, "5")
    act(anna, "remove_member", user_id=carl.id)  # 6
    anna.text(group, "7")
    act(anna, "rename_group", name="Now")  # 8
    with says("5", "each from the event by which they came to the event by which they went, both included"):
        t.equal(seen(carl), [3, 4, 5, 6])
        for seq in (3, 4, 5, 6):
            carl.event(group, seq)
        carl.barrier()
        t.true(not carl.has("events", lambda p: p.conversation_id == group), "more was pushed")
    with says("5", "`first_seq` is the first seq of the first stretch."):
        t.equal(carl.conversation(group).first_seq, 3)
        t.equal(bert.conversation(group).first_seq, 1)
    with says("5", "`head_seq` and `head_ordinal` are those of the last event of the last stretch."):
        shown = carl.conversation(group)
        t.equal((shown.head_seq, shown.head_ordinal), (6, 3))
    with says("5", "Whoever is no member any more sees it as it was after the event by which they went"):
        t.equal(
            (shown.name, shown.member_count, shown.roster, shown.disbanded, shown.member, shown.role),
            ("Then", 2, 6, False, False, 0),
        )
        t.equal(shown.last_at_ms, carl.history(group, 6, 1).events[0].sent_at_ms)
    with says(
        "5",
        "Whoever is no member any more sees it as it was after the event by which they went",
        "in the lists, and in sync",
    ):
        for conversations in (
            carl.works("list_conversations", limit=200).conversations,
            carl.works("get_conversations", conversation_ids=[group]).conversations,
            carl.works("sync", limit=500).conversations,
        ):
            t.equal([c for c in conversations if c.conversation_id == group], [shown])
    with says(
        "5", "`joined_ordinal` is the ordinal at the event by which the last stretch begins; outside groups it is 0."
    ):
        t.equal(
            (
                carl.conversation(group).joined_ordinal,
                anna.conversation(group).joined_ordinal,
                anna.conversation(chat).joined_ordinal,
            ),
            (1, 0, 0),
        )
    with says("5", "Only their own cursors still move, up to that head, and only their own devices are told of it."):
        carl.works("read", conversation_id=group, seq=5)
        cursor = carl.push("cursors").cursors[0]
        t.equal((cursor.user_id, cursor.read_seq, cursor.delivered_seq), (carl.id, 5, 5))
        bert.works("read", conversation_id=group, seq=8)
        anna.push("cursors", lambda b: any(c.user_id == bert.id and c.conversation_id == group for c in b.cursors))
        t.true(
            not anna.has(
                "cursors", lambda b: any(c.user_id == carl.id and c.conversation_id == group for c in b.cursors)
            )
        )
        t.equal(carl.conversation(group).unread, 0)
    with says("9", "Refused with `NOT_FOUND` for who is not a member now."):
        carl.refused("NOT_FOUND", "list_members", conversation_id=group, limit=10)
        dora.refused("NOT_FOUND", "list_members", conversation_id=group, limit=10)
    with says("9", "and for members, in conversations of up to 100, the cursors of all members"):
        t.equal(carl.works("get_conversation", conversation_id=group).cursors, [])
        t.equal(
            sorted(c.user_id for c in anna.works("get_conversation", conversation_id=group).cursors),
            sorted([anna.id, bert.id]),
        )
    act(anna, "add_members", user_ids=[carl.id])  # 9
    anna.text(group, "10")
    with says("5", "the *stretches* of seqs during which the user was a member"):
        t.equal(seen(carl), [3, 4, 5, 6, 9, 10])
        page = carl.history(group)
        t.equal((page.from_seq <= 3, page.to_seq, page.head_seq), (True, 10, 10))
    with says("5", "What counts as [unread](#8-receipts-and-unread-counts) begins there"):
        shown = carl.conversation(group)
        t.equal((shown.joined_ordinal, shown.head_ordinal, shown.unread, shown.first_seq), (4, 5, 1, 3))
    with says("5", "stay what they were then, until they come back"):
        t.equal((shown.name, shown.member_count, shown.roster, shown.member, shown.role), ("Now", 3, 9, True, 1))
    with says("5", "A page speaks for all seqs from `from_seq` to `to_seq`: the visible ones are listed, ascending"):
        page = carl.history(group, 7, 1)
        t.equal((page.from_seq, page.to_seq, [e.seq for e in page.events]), (7, 9, [9]))
        page = carl.history(group, 8, 1, direction=1)
        t.equal(([e.seq for e in page.events], page.to_seq, page.from_seq <= 6), ([6], 8, True))
    with says("5", "a page shows the newest whose own event is visible"):
        act(anna, "remove_member", user_id=carl.id)  # 11
        anna.works(
            "send", conversation_id=group, client_msg_id=new_id(), kind=32, target_seq=10, content={"body": b"hidden"}
        )
        anna.works("send", conversation_id=group, client_msg_id=new_id(), kind=34, target_seq=10, reaction="+")
        event = carl.history(group, 10, 1).events[0]
        t.true("revision" not in event and not event.reactions and event.reactions_total == 0, repr(event))
        event = bert.history(group, 10, 1).events[0]
        t.true("revision" in event and event.reactions_total == 1, repr(event))
    with says("5", "What was recalled is erased for everybody."):
        anna.works("send", conversation_id=group, client_msg_id=new_id(), kind=33, target_seq=10)
        event = carl.history(group, 10, 1).events[0]
        t.true(event.recalled and "body" not in event)
    with says("5", "Everything else looks as if it did not exist, in pushes, pages, heads and counts alike."):
        t.equal(carl.conversation(group).head_seq, 11)
        carl.refused("FORBIDDEN", "send", **text_request(group))
        carl.barrier()
        t.true(not carl.has("events", lambda p: any(e.seq > 11 for e in p.events) and p.conversation_id == group))
