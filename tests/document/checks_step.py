"""Checks of sections 7 and 8: staying in step, receipts, unread counts."""

from checker import text_request
from client import direct, new_id
from mirror import Mirror


def section_7(t):
    says = t.says
    anna, bert, carl = t.users(3)
    chat, notes = anna.with_user(bert), anna.id
    with says("7", "Before that the token is empty."):
        fresh = t.user(sync=False)
        t.equal(fresh.works("ping").sync_token, b"")
        fresh.works("list_conversations", limit=10)
        t.equal(fresh.works("ping").sync_token, b"")
    with says(
        "7", "Once a `sync` on this connection has been answered with `more: false`, every `pong` carries a sync token"
    ):
        fresh.works("sync", limit=10)
        t.true(fresh.works("ping").sync_token)
        t.true(fresh.answer(fresh.ask("ping", seq=0)).body.sync_token)
    with says("7", "Once a `sync` on this connection has been answered with `more: false`", "not with more: true"):
        for other in (bert, carl):
            fresh.text(fresh.with_user(other), "x")
        again = t.resume(fresh.token, sync=False)
        answer = again.works("sync", limit=1)
        t.true(answer.more)
        t.equal(again.works("ping").sync_token, b"")
        answer = again.works("sync", token=answer.token, limit=50)
        t.true(not answer.more and again.works("ping").sync_token)
    with says("7", "An empty token asks for everything from the beginning, and is no error."):
        for i in range(3):
            anna.text(chat, f"{i}")
        anna.text(notes, "note")
        answer = anna.works("sync", limit=500)
        t.equal({c.conversation_id for c in answer.conversations}, {chat, notes})
        t.equal((answer.more, answer.restarted, answer.epoch), (False, False, anna.epoch))
    with says("7", "The answer lists the conversations with visible events since the token, oldest change first"):
        t.equal([c.conversation_id for c in answer.conversations], [chat, notes])
        anna.text(chat, "newest")
        t.equal([c.conversation_id for c in anna.works("sync", limit=500).conversations], [notes, chat])
        t.equal([c.conversation_id for c in anna.works("sync", token=answer.token, limit=500).conversations], [chat])
    with says("7", "the newest events in `pages`"):
        pages = anna.works("sync", token=answer.token, limit=500).pages
        t.equal(
            [(p.conversation_id, p.to_seq, p.events[-1].body.content.body, p.head_seq) for p in pages],
            [(chat, 4, b"newest", 4)],
        )
    with says("7", "everything visible to this session up to it was written on this connection before"):
        token = anna.works("ping").sync_token
        answer = anna.works("sync", token=token, limit=500)
        t.equal((answer.conversations, answer.pages), ([], []))
        bert.text(chat, "after")
        pong = anna.works("ping")
        answer = anna.works("sync", token=pong.sync_token, limit=500)
        t.equal(answer.conversations, [])
        t.true(
            anna.has("events", lambda p: p.conversation_id == chat and p.to_seq == 5),
            "the token covers an event that was not pushed",
        )
    with says("7", "the cursors that moved (the user's own, and those of the other members where the user is one)"):
        token = anna.works("sync", limit=500).token
        anna.text(chat, "for Bert")
        bert.works("read", conversation_id=chat, seq=6)
        anna.push("cursors", lambda b: any((c.user_id, c.read_seq) == (bert.id, 6) for c in b.cursors))
        bert.text(chat, "for Anna")
        anna.works("read", conversation_id=chat, seq=7)
        anna.push("cursors", lambda b: any((c.user_id, c.read_seq) == (anna.id, 7) for c in b.cursors))
        cursors = anna.works("sync", token=token, limit=500).cursors
        t.equal(
            sorted((c.user_id, c.read_seq) for c in cursors if c.conversation_id == chat),
            sorted([(bert.id, 7), (anna.id, 7)]),
        )
    with says("9", "Each conversation and each cursor of the answer is one; pages are not counted."):
        answer = anna.works("sync", limit=1)
        t.equal((len(answer.conversations) + len(answer.cursors), answer.more), (1, True))
    with says("7", "Repeat with the new token while `more` is true."):
        token, found = b"", []
        for _ in range(50):
            answer = anna.works("sync", token=token, limit=1)
            found += [c.conversation_id for c in answer.conversations]
            token = answer.token
            if not answer.more:
                break
        t.equal(sorted(found), sorted([chat, notes]))
    with says("7", "or is no token at all, is refused with `INVALID`"):
        for token in (b"x", b"\0" * 16):
            anna.refused("INVALID", "sync", token=token, limit=10, blame="token")
    with says("9", "Refused with `INVALID` for what is no token of this store but says that it is"):
        good = anna.works("sync", limit=10).token
        bad = good[:-1] + bytes([good[-1] ^ 1])
        anna.refused("INVALID", "sync", token=bad, limit=10, blame="token")
    with says("7", "A token that names another store or past is answered with `restarted: true`"):
        for token in (b"\0" * 64, bytes([good[0] ^ 1]) + good[1:]):
            answer = anna.works("sync", token=token, limit=10)
            t.equal((answer.restarted, {c.conversation_id for c in answer.conversations} >= {notes}), (True, True))
    with says("7", "Own messages** come as events too, also to the device that sent them"):
        sent = anna.text(chat, "mine")
        event = anna.event(chat, sent.seq)
        t.equal((event.sender_id, event.ordinal), (anna.id, sent.ordinal))
    with says("10", "new events, usually one; `head_seq` is 0"):
        anna.text(notes, "again")
        page = anna.push("events", lambda p: p.conversation_id == notes and p.to_seq == 2)
        t.equal((page.head_seq, page.from_seq, page.epoch), (0, 2, anna.epoch))

    # The answer is the event.

    anna1 = t.device(anna, capabilities=1)
    with says("7", "Where `hello` and `welcome` both have the capability bit 1"):
        t.equal(anna1.welcomed.capabilities, 1)
        t.equal(anna.welcomed.capabilities, 0)
        client = t.connect()
        t.equal(client.welcome(capabilities=0xFFFFFFFFFFFFFFFF).capabilities, 1)
    with says(
        "7",
        "the answer to a `send` of a message (kinds 1 to 31) is the message's event for the connection that sent it",
    ):
        sent = anna1.text(notes, "answered")
        anna.event(notes, sent.seq)
        anna1.barrier()
        t.true(
            not anna1.has("events", lambda p: p.conversation_id == notes), "it was pushed as well (which is allowed)"
        )
    with says(
        "7", "Such an answer comes where the push would: after every push of an earlier event of its conversation."
    ):
        for i in range(10):
            bert.ask("send", text_request(chat, f"b{i}".encode()))
            seq = anna1.ask("send", text_request(chat, f"a{i}".encode()))
            answer = anna1.answer(seq)
            at = next(i for i, f in enumerate(anna1.order) if f.seq == seq and f.name == "send")
            before = [
                f.body.events[-1].seq for f in anna1.order[:at] if f.name == "events" and f.body.conversation_id == chat
            ]
            after = [
                f.body.events[-1].seq for f in anna1.order[at:] if f.name == "events" and f.body.conversation_id == chat
            ]
            t.true(all(s < answer.body.seq for s in before) and all(s > answer.body.seq for s in after))
        bert.listen(0.3)
    with says(
        "7", "`kind`, `client_msg_id` and the body (`content`, `reaction`) from the request; the sender is the user"
    ):
        request = text_request(
            chat, b"whole", content={"body": b"whole", "fallback": "f", "mentions": [bert.id], "priority": 1}
        )
        answer = anna1.works("send", **request)
        made = {k: answer[k] for k in ("conversation_id", "seq", "ordinal", "sent_at_ms")}
        made.update(
            kind=1, client_msg_id=request["client_msg_id"], sender_id=anna.id, body={"content": request["content"]}
        )
        t.equal(dict(bert.event(chat, answer.seq)), made)
    with says(
        "7", "If `content.expires_at_ms` is not 0 and not after `sent_at_ms`, the event is `expired` and has no body."
    ):
        answer = anna1.text(chat, "late", expires_at_ms=1)
        event = bert.event(chat, answer.seq)
        t.true(event.expired and "body" not in event)
    with says("7", "Edits, recalls, reactions and group events are pushed to everybody, their sender included."):
        for kind, fields in ((32, {"content": {"body": b"edit"}}), (34, {"reaction": "+"}), (33, {})):
            answer = anna1.works(
                "send", conversation_id=notes, client_msg_id=new_id(), kind=kind, target_seq=sent.seq, **fields
            )
            anna1.event(notes, answer.seq)
        group = anna1.group(bert)
        anna1.event(group, 1)
    with says(
        "7", "also to the device that sent them", "other devices of the same user with the capability get the push"
    ):
        anna3 = t.device(anna, capabilities=1)
        answer = anna1.text(notes, "two devices")
        anna3.event(notes, answer.seq)

    # A mirror of everything, over pushes, losses of the connection and pulls.

    for encoding in ("protobuf", "json"):
        with says("7", "The rules make it apply every visible event exactly once, in order.", encoding):
            watcher = t.user(encoding)
            other = t.user()
            mirror = Mirror(watcher)
            mirror.sync()
            pair = watcher.with_user(other)
            groups = [other.group(watcher, bert) for _ in range(3)]
            for turn in range(4):
                for number in groups + [pair]:
                    for i in range(3):
                        other.text(number, f"{turn} {i}")
                watcher.text(pair, "mine")
                if turn == 1:
                    other.works("remove_member", conversation_id=groups[0], client_msg_id=new_id(), user_id=watcher.id)
                if turn == 2:
                    other.works("add_members", conversation_id=groups[0], client_msg_id=new_id(), user_ids=[watcher.id])
                if turn % 2 == 0:
                    mirror.drain()
                else:
                    watcher.close()
                    watcher = mirror.client = t.resume(watcher.token, encoding, sync=False)
                    mirror.sync()
            mirror.drain()
            if encoding == "json":
                watcher.close()
                watcher = mirror.client = t.resume(watcher.token, encoding, sync=False)
                t.equal(mirror.sync().conversations, [])
            for number in groups + [pair]:
                events = watcher.history(number).events
                t.equal(mirror.logs[number], [(e.seq, e.client_msg_id) for e in events])
    with says("7", "The first page brings `sync_token` and `epoch`: keep them aside."):
        first = watcher.works("list_conversations", limit=2)
        t.true(first.sync_token and first.epoch == watcher.epoch and first.more and first.before)
    with says("7", "Go on with `before` from each answer until `more` is false."):
        second = watcher.works("list_conversations", limit=2, before=first.before)
        t.equal((len(first.conversations), len(second.conversations)), (2, 2))
        page, all_of_them = second, first.conversations + second.conversations
        while page.more:
            page = watcher.works("list_conversations", limit=2, before=page.before)
            all_of_them += page.conversations
        t.equal(len({c.conversation_id for c in all_of_them}), 4)
    with says("9", "`sync_token` comes with the first page only."):
        t.equal(second.sync_token, b"")
        t.equal(watcher.works("list_conversations", limit=10).sync_token != b"", True)
    with says(
        "9", "The user's conversations, those with the newest visible event first, also those of former members."
    ):
        times = [c.last_at_ms for c in all_of_them]
        t.equal(times, sorted(times, reverse=True))
    with says("7", "`sync` with the token kept aside, as on a reconnect."):
        other.text(pair, "meanwhile")
        answer = watcher.works("sync", token=first.sync_token, limit=100)
        t.true(pair in [c.conversation_id for c in answer.conversations])
    with says("9", "Refused with `INVALID` for a mark that this server's store has not signed"):
        for mark in (b"x", first.sync_token, first.before[:-1]):
            watcher.refused("INVALID", "list_conversations", before=mark, limit=10, blame="before")
        watcher.refused("INVALID", "sync", token=first.before, limit=10, blame="token")
    with says(
        "7",
        "`history` with another epoch than the server's is refused with `EPOCH_MISMATCH`; 0 asks without the check.",
    ):
        for epoch in (1, anna.epoch + 1, (1 << 64) - 1):
            anna.refused("EPOCH_MISMATCH", "history", conversation_id=chat, epoch=epoch, limit=1)
        anna.history(chat, epoch=0)
        anna.history(chat, epoch=anna.epoch)
    with says(
        "7",
        "Every page, heads push, list, answer about conversations, send answer and sync answer names the epoch of its"
        " seqs.",
    ):
        answers = [
            anna.history(chat),
            anna.works("list_conversations", limit=1),
            anna.works("get_conversation", conversation_id=chat),
            anna.works("get_conversations", conversation_ids=[chat]),
            anna.text(chat, "x"),
            anna.works("sync", limit=1),
            anna.session,
        ]
        t.equal({a.epoch for a in answers}, {anna.epoch})

    # Starting over.

    for how in ("delivered", "read", "history"):
        with says(
            "7",
            "a `delivered` or `read` beyond the head, or a `history` from more than one beyond it. It is sent a `heads`"
            " push with `resync: true`",
            how,
        ):
            dora = t.user()
            erik = t.device(dora)
            dora.text(dora.id, "only one")
            token = dora.works("ping").sync_token
            other = erik.works("ping").sync_token
            if how == "delivered":
                dora.works("delivered", up_to=[{"conversation_id": dora.id, "seq": 3}])
            elif how == "read":
                dora.works("read", conversation_id=dora.id, seq=2)
            else:
                t.equal(dora.history(dora.id, 2).to_seq < 2, True)
                dora.refused("OUT_OF_RANGE", "history", conversation_id=dora.id, from_seq=3, limit=1)
            push = dora.push("heads")
            t.true(push.resync and push.epoch == dora.epoch)
        with says("7", "its next `sync` with a token is answered with `restarted: true`, whatever the token", how):
            answer = dora.works("sync", token=token, limit=100)
            t.equal((answer.restarted, [c.conversation_id for c in answer.conversations]), (True, [dora.id]))
            answer = dora.works("sync", token=answer.token, limit=100)
            t.equal((answer.restarted, answer.conversations), (False, []))
        with says(
            "7",
            "everything visible to this session up to it was written on this connection before",
            f"while it has to start over, {how}",
        ):
            late = t.resume(dora.token)
            late.works("read", conversation_id=dora.id, seq=99)
            late.push("heads")
            erik.text(dora.id, "meanwhile")
            pong = late.barrier()
            if not late.has("events", lambda p: p.to_seq == 2):
                t.equal(
                    [c.head_seq for c in erik.works("sync", token=pong.sync_token, limit=10).conversations],
                    [2],
                    "not pushed, and not after the token",
                )
            dora = t.resume(dora.token)
        with says("7", "This concerns that session alone.", how):
            erik.barrier()
            t.true(not erik.has("heads"))
            t.true(not erik.works("sync", token=other, limit=100).restarted)
    with says(
        "7", "A `sync` with an empty token in between starts over by itself, is not marked, and leaves nothing of it."
    ):
        dora.works("read", conversation_id=dora.id, seq=99)
        token = dora.works("sync", limit=100)
        t.true(not token.restarted, "the empty token was answered with restarted")
        t.true(not dora.works("sync", token=token.token, limit=100).restarted, "the next one with a token was")
    with says("7", "no other but `go_away` comes until the client has asked, and the tokens of pongs stand still"):
        dora.works("read", conversation_id=dora.id, seq=99)
        dora.push("heads", lambda p: p.resync)
        before = dora.barrier().sync_token
        erik.text(dora.id, "unheard")
        erik.barrier()
        t.equal(dora.barrier().sync_token, before)
        t.true(not dora.has("events") and not dora.has("heads"))
        dora.works("sync", token=before, limit=100)
        erik.text(dora.id, "heard")
        t.true(dora.push("events").events)


def section_8(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna, bert, carl = t.users(3, encoding=encoding)
        bert2 = t.device(bert)
        chat = anna.with_user(bert)
        for i in range(5):
            anna.text(chat, str(i))
        with says(
            "8", "after a user's own event with seq `n`, both cursors of that user count as at least `n`", encoding
        ):
            shown = anna.conversation(chat)
            t.equal((shown.read_seq, shown.delivered_seq, shown.unread), (5, 5, 0))
            cursors = {c.user_id: c for c in bert.works("get_conversation", conversation_id=chat).cursors}
            t.equal((cursors[anna.id].read_seq, cursors[anna.id].delivered_seq), (5, 5))
        with says("8", "No cursor is sent for that; every client infers it.", encoding):
            anna.barrier()
            bert.barrier()
            t.true(not anna.has("cursors") and not bert.has("cursors"))
        with says("8", "`SyncResponse.cursors`, too, has `n` where less was pushed", encoding):
            other = anna.with_user(carl)
            anna.text(other, "one")
            carl.works("read", conversation_id=other, seq=1)
            t.equal(anna.push("cursors").cursors[0].read_seq, 1)
            carl.text(other, "two")
            cursors = [c for c in anna.works("sync", limit=100).cursors if c.user_id == carl.id]
            t.equal([c.read_seq for c in cursors], [2])
        with says("8", "unread = head_ordinal - max(joined_ordinal, ordinal at read_seq)", encoding):
            t.equal(bert.conversation(chat).unread, 5)
        with says(
            "8",
            "Cursors that were moved are pushed (`cursors`) to all of the user's devices, the one that reported it"
            " included",
            encoding,
        ):
            bert.works("delivered", up_to=[{"conversation_id": chat, "seq": 3}])
            for client in (bert, bert2, anna):
                push = client.push("cursors", lambda b: any(c.conversation_id == chat for c in b.cursors))
                t.equal(push.cursors, [{"conversation_id": chat, "user_id": bert.id, "delivered_seq": 3}])
        with says("8", "Reading implies having.", encoding):
            bert2.works("read", conversation_id=chat, seq=4)
            for client in (bert, bert2, anna):
                push = client.push("cursors")
                t.equal(
                    push.cursors, [{"conversation_id": chat, "user_id": bert.id, "delivered_seq": 4, "read_seq": 4}]
                )
        with says(
            "8",
            "from then on `get_conversation`, `get_conversations`, `list_conversations`, `list_members` and `sync` on"
            " the same node answer this user's own devices with it.",
            encoding,
        ):
            bert.works("read", conversation_id=chat, seq=5)
            synced = bert.works("sync", limit=10)
            members = {
                w.id: {m.user_id: m for m in w.works("list_members", conversation_id=chat, limit=10).members}
                for w in (bert, anna)
            }
            shown = [
                bert.conversation(chat),
                bert.works("get_conversations", conversation_ids=[chat]).conversations[0],
                bert.works("list_conversations", limit=1).conversations[0],
                synced.conversations[0],
            ]
            t.equal([(c.read_seq, c.delivered_seq, c.unread) for c in shown], [(5, 5, 0)] * 4)
            own = [(c.read_seq, c.delivered_seq) for c in synced.cursors if c.user_id == bert.id]
            t.equal(own, [(5, 5)], "the cursors of the sync")
            member = members[bert.id][bert.id]
            t.equal((member.read_seq, member.delivered_seq), (5, 5))
        with says("8", "Others are told when it is written.", encoding):
            member = members[anna.id][bert.id]
            t.true((member.read_seq, member.delivered_seq) in ((4, 4), (5, 5)), repr(member))
        with says(
            "8", "When it is written, it is pushed, and then every node answers with it.", encoding
        ):
            anna.push("cursors", lambda b: any(c.read_seq == 5 for c in b.cursors))
            t.equal(
                {c.user_id: c.read_seq for c in anna.works("get_conversation", conversation_id=chat).cursors}[bert.id],
                5,
            )
            member = next(
                m for m in anna.works("list_members", conversation_id=chat, limit=10).members if m.user_id == bert.id
            )
            t.equal(member.read_seq, 5)
        with says("8", "Both are cumulative and only grow; a smaller value changes nothing", encoding):
            bert.push("cursors", lambda b: any(c.read_seq == 5 for c in b.cursors))
            bert.works("read", conversation_id=chat, seq=2)
            bert.works("delivered", up_to=[{"conversation_id": chat, "seq": 1}])
            t.equal((bert.conversation(chat).read_seq, bert.conversation(chat).delivered_seq), (5, 5))
        with says("8", "a larger one than the visible head is cut to it", encoding):
            anna.text(chat, "six")
            bert.works("delivered", up_to=[{"conversation_id": chat, "seq": 1000}])
            t.equal((bert.conversation(chat).delivered_seq, bert.conversation(chat).read_seq), (6, 5))
            t.true(bert.push("heads").resync)
            bert.begin()
        with says("8", "one about a conversation that the user never was a member of is passed over", encoding):
            carl.works("delivered", up_to=[{"conversation_id": chat, "seq": 1}])
            carl.works("read", conversation_id=chat, seq=1000)
            carl.works("read", conversation_id=direct(carl.id, anna.id), seq=1)
            carl.works("read", conversation_id=1 << 61 | 5, seq=1)
            carl.barrier()
            t.true(not carl.has("heads"))
        with says("8", "for several conversations at once", encoding):
            other = anna.with_user(carl)
            carl.text(other, "hello")
            bert.text(chat, "x")
            anna.works(
                "delivered",
                up_to=[
                    {"conversation_id": chat, "seq": 7},
                    {"conversation_id": other, "seq": 1},
                    {"conversation_id": chat, "seq": 2},
                ],
            )
            t.equal((anna.conversation(chat).delivered_seq, anna.conversation(other).delivered_seq), (7, 1))
        with says("8", "and, in conversations of up to 100 members, to the other members", f"a group, {encoding}"):
            group = anna.group(bert, carl)
            anna.text(group, "x")
            carl.works("read", conversation_id=group, seq=2)
            for client in (anna, bert, bert2, carl):
                client.push(
                    "cursors",
                    lambda b: any(
                        c.conversation_id == group and c.user_id == carl.id and c.read_seq == 2 for c in b.cursors
                    ),
                )
        with says(
            "8", "the number of displayable messages of the newest stretch that lie after the read cursor", encoding
        ):
            message = anna.text(group, "x").seq
            bert.works("send", conversation_id=group, client_msg_id=new_id(), kind=34, target_seq=message, reaction="+")
            anna.works(
                "send",
                conversation_id=group,
                client_msg_id=new_id(),
                kind=32,
                target_seq=message,
                content={"body": b"y"},
            )
            t.equal(carl.conversation(group).unread, 1)
            t.equal(bert.conversation(group).unread, 0)
            anna.works("send", conversation_id=group, client_msg_id=new_id(), kind=33, target_seq=message)
            t.equal(carl.conversation(group).unread, 1)
        with says("8", "after a user's own event with seq `n`", f"a reaction reads, too, {encoding}"):
            t.equal(bert.conversation(group).read_seq, 4)
        with says(
            "8",
            "after a user's own event with seq `n`",
            f"being added is nobody's own event but the adder's, {encoding}",
        ):
            dora = t.user()
            anna.works("add_members", conversation_id=group, client_msg_id=new_id(), user_ids=[dora.id])
            shown = dora.conversation(group)
            t.equal((shown.unread, shown.head_ordinal, shown.joined_ordinal, shown.delivered_seq), (0, 2, 2, 0))
        with says("9", "The members now, by user id, with role and cursors.", encoding):
            members = anna.works("list_members", conversation_id=group, limit=10).members
            t.equal(
                [(m.user_id, m.name, m.display_name, m.role) for m in members],
                [
                    (u.id, u.user.name, u.user.display_name, 3 if u is anna else 1)
                    for u in sorted((anna, bert, carl, dora), key=lambda u: u.id)
                ],
            )
            t.equal([m.joined_seq for m in members if m.user_id == dora.id], [7])
    with says("9", "`after_user_id`: 0, or the last user id of the page before; `limit`: 1 or more"):
        first = anna.works("list_members", conversation_id=group, limit=3)
        rest = anna.works("list_members", conversation_id=group, limit=3, after_user_id=first.members[-1].user_id)
        t.equal(
            (first.more, rest.more, [m.user_id for m in first.members + rest.members]),
            (True, False, [m.user_id for m in members]),
        )
        anna.refused("INVALID", "list_members", conversation_id=group, limit=0, blame="limit")

    # More than 100 members.

    crowd = []
    for _ in range(99):
        member = t.user(sync=False)
        crowd.append(member)
        if len(crowd) > 60:
            member.close()
    anna, carl = t.users(2)
    group = anna.group(*crowd)
    anna.text(group, "to 100")
    with says("5", "up to 50 newest reactions are listed, and `reactions_total` says how many there are"):
        for place, member in enumerate(crowd[:60]):
            member.works(
                "send", conversation_id=group, client_msg_id=new_id(), kind=34, target_seq=2, reaction=str(place)
            )
        event = anna.history(group, 2, 1).events[0]
        t.equal(
            (sorted(r.user_id for r in event.reactions), event.reactions_total),
            (sorted(m.id for m in crowd[10:60]), 60),
        )
    for size, small in ((100, True), (101, False)):
        if size == 101:
            anna.works("add_members", conversation_id=group, client_msg_id=new_id(), user_ids=[carl.id])
            anna.text(group, "to 101")
        reader = crowd[0 if small else 1]
        with says("8", "in conversations of up to 100 members, to the other members", str(size)):
            head = anna.text(group, "read this").seq
            reader.works("read", conversation_id=group, seq=head)
            reader.push("cursors", lambda b: b.cursors[0].read_seq == head)
            if small:
                anna.push("cursors", lambda b: b.cursors[0].user_id == reader.id)
            else:
                anna.barrier()
                t.true(not anna.has("cursors", lambda b: b.cursors[0].user_id == reader.id))
        with says("9", "in conversations of up to 100, the cursors of all members, the user's own included", str(size)):
            cursors = anna.works("get_conversation", conversation_id=group).cursors
            t.equal(len(cursors), 100 if small else 0)
        with says(
            "9", "in conversations of up to 100 members; in larger ones it is accepted and shown to nobody", str(size)
        ):
            reader.pushes.clear()
            anna.works("typing", conversation_id=group, typing=True)
            if small:
                reader.push("typing_push")
            else:
                anna.works("send", **text_request(group, quality=2))
                reader.push("transient")
                reader.barrier()
                t.true(not reader.has("typing_push", lambda b: b.user_id == anna.id))
