"""Checks of section 9: sending, reading, groups."""

from checker import raw_json, text_request
from checks_accounts import fill
from client import direct, new_id


def section_9_send(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna, bert = t.users(2, encoding=encoding)
        chat = anna.with_user(bert)
        target = anna.text(chat, "target").seq

        def send(code=None, blame=None, **changed):
            request = text_request(chat, **changed)
            if "content" in changed and changed["content"] is None:
                del request["content"]
            if code:
                return anna.refused(code, "send", blame=blame, **request)
            return anna.works("send", **request)

        with says("9", "| `client_msg_id` | exactly 16 bytes |", encoding):
            for size in (0, 1, 15, 17, 32):
                send("INVALID", "client_msg_id", client_msg_id=b"x" * size)
        for kind in (0, 9, 31, 35, 63, 64, 65, 70, 71, 255, 4294967295 if encoding == "json" else 65536):
            with says(
                "9", "1 to 8, or 32 to 34; others are made by the server or not known: `INVALID`", f"{kind}, {encoding}"
            ):
                if encoding == "json" and kind > 1 << 31:
                    anna.refused("INVALID", "send", body=raw_json(chat, kind=str(kind)))
                else:
                    send("INVALID", "kind", kind=kind, content={"body": b"x"})
        with says(
            "9", "| `target_seq` | `EDIT`, `RECALL`, `REACTION`: the message, 1 to 2^63 − 1. Otherwise 0 |", encoding
        ):
            send("INVALID", "target_seq", target_seq=1)
            for kind, fields in ((32, {}), (33, {"content": None}), (34, {"content": None, "reaction": "+"})):
                send("INVALID", "target_seq", kind=kind, **fields)
                send("INVALID", "target_seq", kind=kind, target_seq=1 << 63, **fields)
                send("NOT_FOUND", kind=kind, target_seq=(1 << 63) - 1, **fields)
        with says("9", "| `content` | messages and `EDIT`: needed. Otherwise absent |", encoding):
            for kind in range(1, 9):
                send("INVALID", "content", kind=kind, content=None)
            send("INVALID", "content", kind=32, target_seq=target, content=None)
            send("INVALID", "content", kind=33, target_seq=target)
            send("INVALID", "content", kind=34, target_seq=target, reaction="+")
            send("INVALID", "content", kind=34, target_seq=target, reaction="+", content={})
        with says(
            "9", "`REACTION`: at most 64 bytes, no control characters, empty takes it back. Otherwise empty", encoding
        ):
            react = lambda reaction, *code: send(*code, kind=34, target_seq=target, content=None, reaction=reaction)
            react(fill("x", 64))
            react(fill("é", 32))
            react(fill("x", 65), "INVALID", "reaction")
            react(fill("é", 32) + "x", "INVALID", "reaction")
            react("a\nb", "INVALID", "reaction")
            send("INVALID", "reaction", reaction="+")
            send("INVALID", "reaction", kind=33, target_seq=target, content=None, reaction="+")
            send("INVALID", "reaction", kind=32, target_seq=target, reaction="+")
        with says("9", "| `quality` | 0 to 2; `AT_MOST_ONCE` for messages only |", encoding):
            send("INVALID", "quality", quality=3)
        with says("9", "`TEXT`: 1 to 4,096 bytes (`Welcome.limits.text_bytes_max`).", encoding):
            t.equal(anna.welcomed.limits.text_bytes_max, 4096)
            send(content={"body": b"x"})
            send(content={"body": b"x" * 4096})
            send("INVALID", "content.body", content={"body": b"x" * 4097})
            send("INVALID", "content.body", content={"body": b""})
            send("INVALID", "content.body", content={})
        with says("9", "`body` is opaque to the server", f"a TEXT that is not UTF-8, {encoding}"):
            answer = send(content={"body": b"\xff\x00\xfe"})
            t.equal(bert.event(chat, answer.seq).body.content.body, b"\xff\x00\xfe")
        if encoding == "protobuf":
            for kind in (6, 7, 8):
                with says("9", "Otherwise at most 60 KiB: the largest frame less 4 KiB.", str(kind)):
                    send(kind=kind, content={"body": b"x" * 61440})
                    send("INVALID", "content.body", kind=kind, content={"body": b"x" * 61441})
            with says("9", "Otherwise at most 60 KiB: the largest frame less 4 KiB.", "a caption"):
                send(kind=2, content={"body": b"x" * 61440, "blob": {"blob_id": "b"}})
                send("INVALID", "content.body", kind=2, content={"body": b"x" * 61441, "blob": {"blob_id": "b"}})
        else:
            with says(
                "9", "In JSON the base64 of a body counts against the frame: about three quarters of it can be used."
            ):
                answer = send(kind=8, content={"body": b"x" * 48900})
                t.equal(len(bert.event(chat, answer.seq).body.content.body), 48900)
        with says("9", "`EDIT`: as the kind of the message asks", encoding):
            send(kind=32, target_seq=target, content={"body": b"x" * 4096})
            t.equal(send("INVALID", kind=32, target_seq=target, content={"body": b"x" * 4097}).field, "content")
            card = send(kind=7, content={}).seq
            send(kind=32, target_seq=card, content={"body": b"x" * 5000})
            send(kind=32, target_seq=card, content={})
        for kind in (2, 3, 4, 5):
            with says("9", "`IMAGE`, `VOICE`, `VIDEO`, `FILE`, and an `EDIT` of one: needed", f"{kind}, {encoding}"):
                send("INVALID", "content.blob", kind=kind, content={"body": b"x"})
                media = send(kind=kind, content={"blob": {"blob_id": "b"}}).seq
                t.equal(send("INVALID", kind=32, target_seq=media, content={"body": b"x"}).field, "content")
        with says("9", "Fields without a rule below may hold anything.", f"a blob with a TEXT, {encoding}"):
            send(
                content={
                    "body": b"x",
                    "blob": {"blob_id": "b", "size": (1 << 64) - 1, "width": 4294967295, "height": 1, "duration_ms": 2},
                }
            )
            answer = send(kind=5, content={"blob": {"blob_id": "b", "size": (1 << 64) - 1, "width": 4294967295}})
            t.equal(
                bert.event(chat, answer.seq).body.content.blob,
                {"blob_id": "b", "size": (1 << 64) - 1, "width": 4294967295},
            )
        with says("9", "| `content.blob.blob_id` | 1 to 256 bytes, no control characters |", encoding):
            send(kind=5, content={"blob": {"blob_id": fill("x", 256)}})
            for blob_id in ("", fill("x", 257), "a\nb"):
                send("INVALID", "content.blob.blob_id", kind=5, content={"blob": {"blob_id": blob_id}})
            send("INVALID", "content.blob.blob_id", content={"body": b"x", "blob": {}})
        for field in ("content_type", "name"):
            with says(
                "9",
                "| `content.blob.content_type`, `content.blob.name` | at most 256 bytes each, no control characters |",
                f"{field}, {encoding}",
            ):
                send(kind=5, content={"blob": {"blob_id": "b", field: fill("x", 256)}})
                send(
                    "INVALID",
                    "content.blob." + field,
                    kind=5,
                    content={"blob": {"blob_id": "b", field: fill("x", 257)}},
                )
                send("INVALID", "content.blob." + field, kind=5, content={"blob": {"blob_id": "b", field: "a\0"}})
        with says("9", "| `content.content_type` | at most 256 bytes, no control characters.", encoding):
            send(content={"body": b"x", "content_type": fill("x", 256)})
            send("INVALID", "content.content_type", content={"body": b"x", "content_type": fill("x", 257)})
            send("INVALID", "content.content_type", content={"body": b"x", "content_type": "text\r"})
        with says(
            "9",
            "| `content.reply_to` | 0, or the seq of a visible message of the same conversation. `EDIT`: 0 |",
            encoding,
        ):
            send(content={"body": b"x", "reply_to": target})
            send("NOT_FOUND", content={"body": b"x", "reply_to": 5000})
            edit = send(kind=32, target_seq=target)
            send("NOT_FOUND", content={"body": b"x", "reply_to": edit.seq})
            send("NOT_FOUND", content={"body": b"x", "reply_to": (1 << 63) - 1})
            send("INVALID", "content.reply_to", content={"body": b"x", "reply_to": 1 << 63})
        with says("9", "at most 100 user ids (`TOO_MANY` beyond)", encoding):
            answer = send(content={"body": b"x", "mentions": [bert.id, (1 << 31) - 1] * 50})
            t.equal(len(bert.event(chat, answer.seq).body.content.mentions), 100)
            send("TOO_MANY", "content.mentions", content={"body": b"x", "mentions": [bert.id] * 101})
            send("INVALID", "content.mentions", content={"body": b"x", "mentions": [0]})
            send("INVALID", "content.mentions", content={"body": b"x", "mentions": [1 << 31]})
        with says("9", "| `content.fallback` | at most 1,024 bytes |", encoding):
            send(content={"body": b"x", "fallback": fill("é", 512)})
            send(content={"body": b"x", "fallback": "a\n\0b"})
            send("INVALID", "content.fallback", content={"body": b"x", "fallback": fill("x", 1025)})
        with says("9", "| `content.expires_at_ms` | 0, or a time of at most 2^63 − 1. `EDIT`: 0 |", encoding):
            send(content={"body": b"x", "expires_at_ms": (1 << 63) - 1})
            send("INVALID", "content.expires_at_ms", content={"body": b"x", "expires_at_ms": 1 << 63})
            send(
                "INVALID",
                "content.expires_at_ms",
                kind=32,
                target_seq=target,
                content={"body": b"x", "expires_at_ms": 1},
            )
        with says("9", "| `content.priority` | 0 to 2 |", encoding):
            for priority in (0, 1, 2):
                send(content={"body": b"x", "priority": priority})
            send("INVALID", "content.priority", content={"body": b"x", "priority": 3})
        with says(
            "9",
            "The answer: `seq`, `ordinal`, `sent_at_ms`, `roster` and `epoch` of the stored event, and `duplicate`.",
            encoding,
        ):
            answer = send()
            event = bert.event(chat, answer.seq)
            t.equal(
                (answer.seq, answer.ordinal, answer.sent_at_ms, answer.roster),
                (event.seq, event.ordinal, event.sent_at_ms, event.roster),
            )
            t.equal((answer.epoch, answer.duplicate, answer.conversation_id), (anna.epoch, False, chat))


def section_9_reading(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna, bert, carl = t.users(3, encoding=encoding)
        chat = anna.with_user(bert)
        for i in range(10):
            anna.text(chat, str(i))

        def page(from_seq, limit, backward=False):
            return anna.history(chat, from_seq, limit, direction=int(backward))

        seqs = lambda p: [e.seq for e in p.events]
        with says(
            "9",
            "forward: the first seq wanted (0 is the same as 1). Backward: the last one wanted, 0 for the head.",
            encoding,
        ):
            t.equal(page(0, 3), page(1, 3))
            t.equal(
                (seqs(page(4, 3)), seqs(page(4, 3, True)), seqs(page(0, 3, True))), ([4, 5, 6], [2, 3, 4], [8, 9, 10])
            )
        with says("9", "One page, ascending in both directions.", encoding):
            t.equal(seqs(page(10, 10, True)), list(range(1, 11)))
        with says("9", "`head_seq` is the last seq visible to the user.", encoding):
            t.equal({page(1, 1).head_seq, page(5, 1, True).head_seq, page(11, 1).head_seq}, {10})
        with says(
            "9",
            "Going on: forward from `to_seq + 1` until `to_seq` is `head_seq`, backward from `from_seq - 1` until that"
            " is 0.",
            encoding,
        ):
            at, found = 1, []
            while True:
                one = page(at, 3)
                found += seqs(one)
                if one.to_seq == one.head_seq:
                    break
                at = one.to_seq + 1
            t.equal(found, list(range(1, 11)))
            at, found = 0, []
            while True:
                one = page(at, 3, True)
                found = seqs(one) + found
                at = one.from_seq - 1
                if at == 0:
                    break
            t.equal(found, list(range(1, 11)))
        with says("5", "A page with `to_seq` below `from_seq` speaks for nothing.", f"one beyond the head, {encoding}"):
            one = page(11, 5)
            t.equal((one.from_seq, one.to_seq, one.events), (11, 10, []))
        with says("9", "events, 1 or more; cut to `Welcome.limits.page_events_max` (500)", encoding):
            anna.refused("INVALID", "history", conversation_id=chat, limit=0, blame="limit")
            t.equal(len(page(1, 4294967295).events), 10)
        with says("9", "`FORWARD` (0) or `BACKWARD` (1)", encoding):
            anna.refused("INVALID", "history", conversation_id=chat, limit=1, direction=2, blame="direction")
        with says("9", "At most 2^63 − 1", encoding):
            anna.refused("INVALID", "history", conversation_id=chat, limit=1, from_seq=1 << 63, blame="from_seq")
        with says("9", "Refused with `NOT_FOUND` for who never was a member", encoding):
            carl.refused("NOT_FOUND", "history", conversation_id=chat, limit=1)
            carl.refused("NOT_FOUND", "get_conversation", conversation_id=chat)
        for backward in (0, 1):
            with says(
                "9", "`OUT_OF_RANGE` for a `from_seq` more than one beyond the head", f"backward {backward}, {encoding}"
            ):
                anna.works("history", conversation_id=chat, limit=1, from_seq=11, direction=backward)
                anna.refused("OUT_OF_RANGE", "history", conversation_id=chat, limit=1, from_seq=12, direction=backward)
                anna.works("sync", limit=100)
        with says(
            "9",
            "It holds at most `limit` events and about 64 KiB of bodies, newest edits and listed reactions, but always"
            " one event if there is one",
            encoding,
        ):
            size = 40000
            for _ in range(4):
                anna.works("send", **text_request(chat, kind=8, content={"body": b"x" * size}))
            one = page(11, 100)
            t.true(1 <= len(one.events) <= 2, f"{len(one.events)} events of {size} bytes")
            t.equal((one.from_seq, one.to_seq), (11, one.events[-1].seq))
            one = page(0, 100, True)
            t.true(
                1 <= len(one.events) <= 2 and one.to_seq == 14 and one.from_seq == one.events[0].seq,
                f"{one.from_seq} to {one.to_seq}",
            )
        with says("9", "`token`: empty, or a sync token. `limit`: changes, 1 or more; cut to 500.", encoding):
            anna.refused("INVALID", "sync", limit=0, blame="limit")
            anna.refused("INVALID", "sync", limit=1, token=b"x" * 257, blame="token")
            anna.works("sync", limit=4294967295)
        with says("9", "`before`: empty, or from the page before. `limit`: 1 or more; cut to 200.", encoding):
            anna.refused("INVALID", "list_conversations", limit=0, blame="limit")
            anna.refused("INVALID", "list_conversations", limit=1, before=b"x" * 257, blame="before")
            anna.works("list_conversations", limit=4294967295)
        with says("9", "`before` of the last page comes, too, and leads to an empty one.", encoding):
            page_ = anna.works("list_conversations", limit=200)
            t.true(not page_.more and page_.before)
            page_ = anna.works("list_conversations", limit=200, before=page_.before)
            t.equal((page_.more, page_.conversations), (False, []))
        with says("9", "`head_seq` and `head_ordinal` of the last visible event and `last_at_ms`, its time", encoding):
            shown = anna.conversation(chat)
            last = anna.history(chat, 14, 1).events[0]
            t.equal((shown.head_seq, shown.head_ordinal, shown.last_at_ms), (last.seq, last.ordinal, last.sent_at_ms))
        with says("9", "for 1:1 conversations `peer_id`", encoding):
            t.equal((shown.peer_id, shown.member, shown.name, shown.role, shown.first_seq), (bert.id, True, "", 0, 1))
        with says("9", "for groups `name`, `member_count` and `disbanded`", f"not for others, {encoding}"):
            t.equal(shown.member_count, 0, "member_count of a 1:1 conversation")
        with says("9", "`conversation_ids`: 1 to 200 conversation ids (`TOO_MANY` beyond).", encoding):
            anna.works("get_conversations", conversation_ids=[chat] * 200)
            anna.refused("TOO_MANY", "get_conversations", conversation_ids=[chat] * 201, blame="conversation_ids")
            anna.refused("INVALID", "get_conversations", conversation_ids=[], blame="conversation_ids")
        with says(
            "9", "in the order asked, each once; those that `get_conversation` would refuse are left out", encoding
        ):
            anna.text(anna.id, "note")
            found = anna.works(
                "get_conversations", conversation_ids=[anna.id, chat, direct(bert.id, carl.id), anna.id, carl.id]
            ).conversations
            t.equal([c.conversation_id for c in found], [anna.id, chat])
            t.equal(found, [anna.conversation(anna.id), anna.conversation(chat)])
        with says(
            "9", "`up_to`: 1 to 1,000 pairs (`TOO_MANY` beyond) of a conversation id and a seq of 1 or more.", encoding
        ):
            pair = {"conversation_id": chat, "seq": 1}
            anna.works("delivered", up_to=[pair] * 1000)
            anna.refused("TOO_MANY", "delivered", up_to=[pair] * 1001, blame="up_to")
            anna.refused("INVALID", "delivered", up_to=[], blame="up_to")
        with says(
            "11", "with dots for what stands within another one and without places in lists", f"delivered, {encoding}"
        ):
            anna.refused("INVALID", "delivered", up_to=[pair, {"conversation_id": chat}], blame="up_to.seq")
            anna.refused("INVALID", "delivered", up_to=[pair, {"seq": 1}], blame="up_to.conversation_id")
        with says("9", "`conversation_id` and `seq`, 1 or more.", encoding):
            anna.refused("INVALID", "read", conversation_id=chat, blame="seq")
        with says(
            "12",
            "| `SIGNED_MAX` | 9223372036854775807 | largest seq, largest time in milliseconds |",
            f"read and delivered, {encoding}",
        ):
            anna.refused("INVALID", "read", conversation_id=chat, seq=1 << 63, blame="seq")
            anna.refused("INVALID", "delivered", up_to=[{"conversation_id": chat, "seq": 1 << 63}])


def section_9_groups(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna, bert, carl = t.users(3, encoding=encoding)
        make = lambda **fields: dict({"client_msg_id": new_id(), "name": "G"}, **fields)
        with says("9", "The creator becomes the owner. The answer's `conversation_id` is the group.", encoding):
            group = anna.works("create_group", **make(user_ids=[bert.id])).conversation_id
            t.equal((anna.conversation(group).role, bert.conversation(group).role), (3, 1))
        with says(
            "9",
            "the first members, at most 1,000 (`TOO_MANY` beyond); duplicates and the creator are passed over",
            encoding,
        ):
            anna.refused("TOO_MANY", "create_group", **make(user_ids=[bert.id] * 1001), blame="user_ids")
            answer = anna.works("create_group", **make(user_ids=[bert.id, anna.id] * 500))
            t.equal(anna.event(answer.conversation_id, 1).body.group.user_ids, sorted([anna.id, bert.id]))
        with says("9", "the first members, at most 1,000", f"none, {encoding}"):
            alone = anna.works("create_group", **make()).conversation_id
            t.equal(anna.conversation(alone).member_count, 1)
            anna.works("leave_group", conversation_id=alone, client_msg_id=new_id())
        with says("9", "| `client_msg_id` | exactly 16 bytes |", f"groups, {encoding}"):
            for size in (0, 15, 17):
                anna.refused("INVALID", "create_group", **make(client_msg_id=b"x" * size), blame="client_msg_id")
                anna.refused(
                    "INVALID", "leave_group", conversation_id=group, client_msg_id=b"x" * size, blame="client_msg_id"
                )
        for user in (0, 1 << 31):
            with says("9", "| `user_id` (`remove_member`, `set_role`) | a user id |", f"{user}, {encoding}"):
                anna.refused("INVALID", "create_group", **make(user_ids=[user]), blame="user_ids")
                anna.refused(
                    "INVALID",
                    "add_members",
                    conversation_id=group,
                    client_msg_id=new_id(),
                    user_ids=[user],
                    blame="user_ids",
                )
                anna.refused(
                    "INVALID",
                    "remove_member",
                    conversation_id=group,
                    client_msg_id=new_id(),
                    user_id=user,
                    blame="user_id",
                )
                anna.refused(
                    "INVALID",
                    "set_role",
                    conversation_id=group,
                    client_msg_id=new_id(),
                    user_id=user,
                    role=2,
                    blame="user_id",
                )
        with says("9", "1 to 1,000 (`TOO_MANY` beyond); those who are members already are passed over", encoding):
            anna.refused(
                "INVALID", "add_members", conversation_id=group, client_msg_id=new_id(), user_ids=[], blame="user_ids"
            )
            anna.refused(
                "TOO_MANY",
                "add_members",
                conversation_id=group,
                client_msg_id=new_id(),
                user_ids=[carl.id] * 1001,
                blame="user_ids",
            )
        with says("9", "| `role` (`set_role`) | `MEMBER` (1), `ADMIN` (2) or `OWNER` (3) |", encoding):
            for role in (0, 4):
                anna.refused(
                    "INVALID",
                    "set_role",
                    conversation_id=group,
                    client_msg_id=new_id(),
                    user_id=bert.id,
                    role=role,
                    blame="role",
                )
        for name in ("", " ", fill("x", 65), "a\nb", "a\u200b"):
            with says("9", "| `name` (`rename_group`) | a name for people |", f"{name!r:.10}, {encoding}"):
                anna.refused(
                    "INVALID", "rename_group", conversation_id=group, client_msg_id=new_id(), name=name, blame="name"
                )
                anna.refused("INVALID", "create_group", **make(name=name), blame="name")
        for name in (str(group), f"#{group}", str(1 << 61), f"#{(1 << 61) + 77}"):
            with says(
                "9", "The name of a group may not be a group's id, with or without `#`.", f"{name[:2]}…, {encoding}"
            ):
                anna.refused(
                    "INVALID", "rename_group", conversation_id=group, client_msg_id=new_id(), name=name, blame="name"
                )
                anna.refused("INVALID", "create_group", **make(name=name), blame="name")
        with says("9", "The name of a group may not be a group's id", f"another number may, {encoding}"):
            anna.works("rename_group", conversation_id=group, client_msg_id=new_id(), name="2026")
            anna.works("rename_group", conversation_id=group, client_msg_id=new_id(), name=fill("ü", 64))
        with says("9", "Passed on to the members who are online, as an `AT_MOST_ONCE` message is", encoding):
            other = t.device(anna, encoding)
            for typing in (True, False):
                anna.works("typing", conversation_id=group, typing=typing)
                for client in (bert, other):
                    push = client.push("typing_push")
                    t.equal(
                        push,
                        dict({"conversation_id": group, "user_id": anna.id}, **({"typing": True} if typing else {})),
                    )
            anna.barrier()
            t.true(not anna.has("typing_push"))
