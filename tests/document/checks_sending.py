"""Checks of section 6: sending, and who may do what."""

from checker import text_request
from client import direct, new_id


def section_6(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna, bert = t.users(2, encoding=encoding)
        chat = anna.with_user(bert)
        client_id = new_id()
        first = anna.text(chat, "once", client_id)
        with says("6", "it is answered with the first result and `duplicate: true`", encoding):
            again = anna.text(chat, "once", client_id)
            t.equal(again, dict(first, duplicate=True))
            t.equal(anna.conversation(chat).head_seq, 1)
        with says("6", "(same command, same fields, the quality of service aside;", encoding):
            t.equal(anna.works("send", **text_request(chat, b"once", client_msg_id=client_id, quality=1)), again)
        with says(
            "6",
            "A client id under which something was stored before is answered with that, and nothing is pushed.",
            encoding,
        ):
            t.equal(anna.works("send", **text_request(chat, b"once", client_msg_id=client_id, quality=2)), again)
            anna.text(chat, "after")
            bert.event(chat, 2)
            bert.barrier()
            t.true(not bert.has("transient"))
        for what, changed in {
            "body": {"content": {"body": b"other"}},
            "kind": {"kind": 6},
            "fallback": {"content": {"body": b"once", "fallback": "f"}},
            "mentions": {"content": {"body": b"once", "mentions": [1]}},
            "priority": {"content": {"body": b"once", "priority": 1}},
            "expires_at_ms": {"content": {"body": b"once", "expires_at_ms": 1 << 50}},
            "command": {"kind": 33, "target_seq": 1, "content": None},
        }.items():
            with says("6", "If it asks for anything else: `CONFLICT`.", f"{what}, {encoding}"):
                request = text_request(chat, b"once", client_msg_id=client_id)
                request.update(changed)
                anna.refused("CONFLICT", "send", **{k: v for k, v in request.items() if v is not None})
        with says("6", "The id is unique per conversation and sender, for ever.", encoding):
            t.equal(bert.text(chat, "mine", client_id).duplicate, False)
            t.equal(anna.text(anna.id, "mine", client_id).duplicate, False)
            t.equal(anna.works("send", **text_request(chat, b"x", client_msg_id=bytes(16))).duplicate, False)
        with says("6", "keeps over all attempts, also on another connection or another node", encoding):
            other = t.device(anna, encoding)
            t.equal(other.text(chat, "once", client_id), again)
        with says("6", "whatever has changed since, even if the sender may no longer send", encoding):
            group = bert.group(anna)
            sent = anna.text(group, "in", client_id)
            renamed = new_id()
            bert.works("rename_group", conversation_id=group, client_msg_id=renamed, name="New")
            bert.works("remove_member", conversation_id=group, client_msg_id=new_id(), user_id=anna.id)
            t.equal(anna.text(group, "in", client_id), dict(sent, duplicate=True))
            anna.refused("CONFLICT", "send", **text_request(group, b"out", client_msg_id=client_id))
            bert.works("disband_group", conversation_id=group, client_msg_id=new_id())
            t.equal(anna.text(group, "in", client_id), dict(sent, duplicate=True))
            t.true(bert.works("rename_group", conversation_id=group, client_msg_id=renamed, name="New").duplicate)
            bert.refused("CONFLICT", "rename_group", conversation_id=group, client_msg_id=renamed, name="Newer")
        with says("6", "whatever has changed since", f"the message was recalled, {encoding}"):
            anna.works("send", conversation_id=chat, client_msg_id=new_id(), kind=33, target_seq=1)
            t.equal(anna.text(chat, "once", client_id), again)
            anna.refused("CONFLICT", "send", **text_request(chat, b"other", client_msg_id=client_id))

    anna, bert, carl, dora, erik = t.users(5)
    chat = anna.with_user(bert)
    anna2 = t.device(anna)
    with says(
        "6",
        "it is pushed as a `transient` to the members who are online, the sender's other devices among them, but not to"
        " the connection that sent it",
    ):
        client_id = new_id()
        answer = anna.works("send", **text_request(chat, b"passing", client_msg_id=client_id, kind=8, quality=2))
        for client in (bert, anna2):
            push = client.push("transient")
            t.equal(
                push,
                {
                    "conversation_id": chat,
                    "sender_id": anna.id,
                    "kind": 8,
                    "content": {"body": b"passing"},
                    "client_msg_id": client_id,
                },
            )
        anna.barrier()
        t.true(not anna.has("transient"))
    with says("6", "the answer's `seq`, `ordinal` and `roster` are 0"):
        t.equal(set(answer), {"conversation_id", "epoch", "sent_at_ms"})
    with says("6", "One that was not is passed on each time it comes."):
        anna.works("send", **text_request(chat, b"passing", client_msg_id=client_id, kind=8, quality=2))
        bert.push("transient")
        t.equal(anna.text(chat, "stored now", client_id).duplicate, False)
        bert.push("events", lambda p: p.conversation_id == chat)
    with says("6", "`AT_MOST_ONCE` (2) is for messages only (kinds 1 to 8)"):
        for kind, fields in ((32, {"content": {"body": b"x"}}), (33, {}), (34, {"reaction": "+"})):
            anna.refused(
                "INVALID",
                "send",
                conversation_id=chat,
                client_msg_id=new_id(),
                kind=kind,
                target_seq=1,
                quality=2,
                **fields,
                blame="quality",
            )
    with says("6", "The same rules decide who may send it and what it may reply to"):
        anna.refused("NOT_FOUND", "send", **text_request(chat, quality=2, content={"body": b"x", "reply_to": 99}))
        anna.refused("NOT_FOUND", "send", **text_request(direct(anna.id, (1 << 31) - 1), quality=2))
        anna.refused("NOT_FOUND", "send", **text_request(direct(bert.id, carl.id), quality=2))
        anna.refused("INVALID", "send", **text_request(chat, b"", quality=2))
        anna.works("send", **text_request(chat, quality=2, content={"body": b"x", "reply_to": 1}))
        bert.push("transient")
    with says("6", "from that time on the body is shown to nobody", "a transient message that comes expired"):
        anna.works("send", **text_request(chat, quality=2, content={"body": b"late", "expires_at_ms": 1}))
        anna.works("send", **text_request(chat, quality=2, content={"body": b"then"}))
        bert.push("transient", lambda b: b.content.body == b"then")
        t.true(not bert.has("transient", lambda b: b.content.body == b"late"), "its body was pushed")
    with says("6", "whose removal was acknowledged before gets nothing"):
        some = anna.group(bert, carl)
        anna.works("remove_member", conversation_id=some, client_msg_id=new_id(), user_id=carl.id)
        anna.works("send", **text_request(some, quality=2))
        anna.works("typing", conversation_id=some, typing=True)
        bert.push("transient", lambda b: b.conversation_id == some)
        bert.push("typing_push", lambda b: b.conversation_id == some)
        carl.barrier()
        t.true(not carl.has("transient") and not carl.has("typing_push"))
    with says("6", "the sender's other devices among them", "the own log"):
        anna.works("send", **text_request(anna.id, quality=2))
        anna2.push("transient", lambda b: b.conversation_id == anna.id)
    for quality in (0, 1):
        with says(
            "6",
            "`EXACTLY_ONCE` (0, the default) and `AT_LEAST_ONCE` (1, today treated the same) are stored",
            str(quality),
        ):
            t.true(anna.works("send", **text_request(chat, quality=quality)).seq)

    # Who may do what.

    stranger_chat = direct(bert.id, carl.id)
    with says(
        "6", "| send to a 1:1 conversation, show typing there | one of the two; the other must exist | `NOT_FOUND` |"
    ):
        bert.text(stranger_chat, "private")
        for chat_id in (stranger_chat, direct(anna.id, (1 << 31) - 1)):
            anna.refused("NOT_FOUND", "send", **text_request(chat_id))
            anna.refused("NOT_FOUND", "typing", conversation_id=chat_id)
            anna.refused("NOT_FOUND", "get_conversation", conversation_id=chat_id)
            anna.refused("NOT_FOUND", "history", conversation_id=chat_id, limit=1)
    group = anna.group(bert, carl, dora)
    no_group = 1 << 61 | 12345

    def act(who, command, code=None, group=group, **fields):
        if command != "typing":
            fields["client_msg_id"] = new_id()
        if code:
            return who.refused(code, command, conversation_id=group, **fields)
        return who.works(command, conversation_id=group, **fields)

    appends = (
        ("send", {"kind": 1, "content": {"body": b"x"}}),
        ("send", {"kind": 33, "target_seq": 2}),
        ("add_members", {"user_ids": [erik.id]}),
        ("remove_member", {"user_id": bert.id}),
        ("leave_group", {}),
        ("set_role", {"user_id": bert.id, "role": 2}),
        ("rename_group", {"name": "X"}),
        ("disband_group", {}),
        ("typing", {"typing": True}),
        ("send", {"kind": 1, "content": {"body": b"x"}, "quality": 2}),
    )
    act(anna, "remove_member", user_id=dora.id)
    for command, fields in appends:
        what = f"{command} {fields.get('kind', '')} {fields.get('quality', '')}"
        with says(
            "6",
            "| whatever appends to a group or passes through it | members | `FORBIDDEN` for former members, `NOT_FOUND` for all others, `GONE` once"
            " disbanded |",
            what,
        ):
            act(dora, command, "FORBIDDEN", **fields)
            act(erik, command, "NOT_FOUND", **fields)
            act(erik, command, "NOT_FOUND", group=no_group, **fields)
    with says("6", "A strange group and one that does not exist look alike."):
        errors = [act(erik, "send", "NOT_FOUND", group=g, kind=1, content={"body": b"x"}) for g in (group, no_group)]
        t.equal(errors[0], errors[1])
        errors = [erik.refused("NOT_FOUND", "history", conversation_id=g, limit=1) for g in (group, no_group)]
        t.equal(errors[0], errors[1])
        errors = [erik.refused("NOT_FOUND", "get_conversation", conversation_id=g) for g in (group, no_group)]
        t.equal(errors[0], errors[1])

    mine = anna.text(group, "anna's").seq
    theirs = bert.text(group, "bert's").seq
    carls = carl.text(group, "carl's").seq
    edit = lambda who, seq, code=None, **content: act(
        who, "send", code, kind=32, target_seq=seq, content=content or {"body": b"new"}
    )
    recall = lambda who, seq, code=None: act(who, "send", code, kind=33, target_seq=seq)
    react = lambda who, seq, reaction="+", code=None: act(who, "send", code, kind=34, target_seq=seq, reaction=reaction)
    with says("6", "| edit | the message's sender, up to 1,000 times | `FORBIDDEN`;"):
        edit(bert, theirs)
        edit(anna, theirs, "FORBIDDEN")
        edit(carl, theirs, "FORBIDDEN")
    with says("6", "`INVALID` if a message of its kind cannot have this content"):
        t.equal(edit(bert, theirs, "INVALID", body=b"").field, "content")
        t.equal(edit(bert, theirs, "INVALID", body=b"x" * 4097).field, "content")
        image = act(bert, "send", kind=2, content={"blob": {"blob_id": "b"}}).seq
        t.equal(edit(bert, image, "INVALID", body=b"x").field, "content")
        edit(bert, image, blob={"blob_id": "c"})
        edit(bert, image, body=b"caption", blob={"blob_id": "c"})
    with says(
        "6",
        "| recall | the message's sender; in a group also its admins and owners | `FORBIDDEN`; `GONE` if recalled |",
    ):
        recall(carl, theirs, "FORBIDDEN")
        recall(bert, mine, "FORBIDDEN")
        recall(bert, image)
        recall(bert, image, "GONE")
        act(anna, "set_role", user_id=bert.id, role=2)
        recall(bert, mine)
        recall(anna, theirs)
        bert.refused(
            "FORBIDDEN",
            "send",
            conversation_id=stranger_chat,
            client_msg_id=new_id(),
            kind=33,
            target_seq=carl.text(stranger_chat, "mine").seq,
        )
    with says("6", "`GONE` if recalled or expired; `INVALID` if a message of its kind cannot have this content"):
        edit(bert, theirs, "GONE")
        edit(carl, theirs, "FORBIDDEN")
    with says("6", "| react | members who see the message; 10,000 users at a time | `GONE` if recalled or expired;"):
        react(anna, carls)
        react(carl, carls)
        react(anna, theirs, "+", "GONE")
    with says("6", "the reaction is the one the user has, or there is none to take back"):
        react(anna, carls, "+", "CONFLICT")
        react(bert, carls, "", "CONFLICT")
        react(anna, carls, "")
        react(anna, carls, "", "CONFLICT")
        react(anna, carls, "+")
    with says(
        "6",
        "A target, or a message replied to, that the sender cannot see is `NOT_FOUND`; so is a target that is no"
        " message.",
    ):
        edit(anna, 9999, "NOT_FOUND")
        recall(anna, 9999, "NOT_FOUND")
        react(anna, 1, "+", "NOT_FOUND")
        edit(anna, 1, "NOT_FOUND")
        act(anna, "send", "NOT_FOUND", kind=1, content={"body": b"x", "reply_to": 9999})
    with says(
        "6", "A target, or a message replied to, that the sender cannot see is `NOT_FOUND`", "from before one came"
    ):
        act(anna, "add_members", user_ids=[erik.id])
        react(erik, carls, "+", "NOT_FOUND")
        recall(erik, carls, "NOT_FOUND")
        act(erik, "send", "NOT_FOUND", kind=1, content={"body": b"x", "reply_to": carls})
    with says("9", "0, or the seq of a visible message of the same conversation.", "an event that is no message"):
        act(anna, "send", "NOT_FOUND", kind=1, content={"body": b"x", "reply_to": 1})
    with says("9", "0, or the seq of a visible message of the same conversation.", "a recalled one"):
        act(anna, "send", kind=1, content={"body": b"x", "reply_to": theirs})
    with says(
        "6", "| add members | members, or where the server is so configured only admins and owners | `FORBIDDEN` |"
    ):
        act(erik, "add_members", user_ids=[dora.id])
    with says(
        "6",
        "| remove a member | admins: members; owners: anyone else; nobody themselves, that is to leave | `FORBIDDEN` |",
    ):
        act(carl, "remove_member", "FORBIDDEN", user_id=erik.id)
        act(bert, "remove_member", "FORBIDDEN", user_id=anna.id)
        act(bert, "remove_member", "FORBIDDEN", user_id=bert.id)
        act(anna, "remove_member", "FORBIDDEN", user_id=anna.id)
        act(anna, "set_role", user_id=dora.id, role=2)
        act(bert, "remove_member", "FORBIDDEN", user_id=dora.id)
        act(anna, "remove_member", user_id=dora.id)
        act(bert, "remove_member", user_id=erik.id)
    with says("6", "| remove a member |", "who is none"):
        act(anna, "remove_member", "NOT_FOUND", user_id=erik.id)
        act(anna, "remove_member", "NOT_FOUND", user_id=(1 << 31) - 1)
    with says("6", "| rename | admins and owners | `FORBIDDEN` |"):
        act(carl, "rename_group", "FORBIDDEN", name="No")
        act(bert, "rename_group", name="By an admin")
        act(bert, "rename_group", "CONFLICT", name="By an admin")
        act(carl, "rename_group", "FORBIDDEN", name="By an admin")
    with says("6", "| give roles | owners, to themselves too, but the last owner stays one | `FORBIDDEN` |"):
        act(bert, "set_role", "FORBIDDEN", user_id=carl.id, role=2)
        act(carl, "set_role", "FORBIDDEN", user_id=carl.id, role=2)
        act(anna, "set_role", "FORBIDDEN", user_id=anna.id, role=1)
        act(anna, "set_role", "CONFLICT", user_id=anna.id, role=3)
        act(anna, "set_role", "CONFLICT", user_id=carl.id, role=1)
        act(anna, "set_role", user_id=bert.id, role=3)
        act(anna, "set_role", user_id=anna.id, role=1)
        act(anna, "rename_group", "FORBIDDEN", name="No")
        act(bert, "set_role", user_id=anna.id, role=3)
    with says("6", "owners: anyone else"):
        act(bert, "remove_member", user_id=anna.id)
        act(bert, "add_members", user_ids=[anna.id])
        t.equal(anna.conversation(group).role, 1)
    with says("6", "| disband | owners | `FORBIDDEN` |"):
        act(anna, "disband_group", "FORBIDDEN")
    with says("6", "| leave | anyone, but not the last owner while others are members | `FORBIDDEN` |"):
        act(bert, "leave_group", "FORBIDDEN")
        act(carl, "leave_group")
        act(anna, "leave_group")
        act(bert, "leave_group")
        act(bert, "send", "FORBIDDEN", kind=1, content={"body": b"x"})
    with says("6", "A change that changes nothing is `CONFLICT`: all are members already"):
        group2 = anna.group(bert)
        act(anna, "add_members", "CONFLICT", group=group2, user_ids=[bert.id])
        act(anna, "add_members", "CONFLICT", group=group2, user_ids=[anna.id, bert.id, bert.id])
        answer = act(anna, "add_members", group=group2, user_ids=[bert.id, carl.id, carl.id])
        t.equal(bert.event(group2, answer.seq).body.group.user_ids, [carl.id])
    with says("6", "A user that does not exist is `NOT_FOUND` without saying which."):
        act(anna, "add_members", "NOT_FOUND", group=group2, user_ids=[dora.id, (1 << 31) - 1])
        anna.refused("NOT_FOUND", "create_group", client_msg_id=new_id(), name="G", user_ids=[(1 << 31) - 1])
        t.equal(len(anna.works("list_members", conversation_id=group2, limit=10).members), 3)
    target = anna.text(group2, "x").seq
    act(anna, "disband_group", group=group2)
    for command, fields in appends:
        with says("6", "`GONE` once disbanded", f"{command} {fields.get('kind', '')} {fields.get('quality', '')}"):
            act(
                anna,
                command,
                "GONE",
                group=group2,
                **dict(fields, **({"target_seq": target} if "target_seq" in fields else {})),
            )
    with says("9", "After `disband_group` the members stay members and the history stays readable"):
        shown = bert.conversation(group2)
        t.equal((shown.disbanded, shown.member, shown.member_count, shown.role), (True, True, 3, 1))
        t.equal(len(bert.works("list_members", conversation_id=group2, limit=10).members), 3)
        t.true(bert.history(group2).events)
        bert.works("read", conversation_id=group2, seq=shown.head_seq)
        t.equal(bert.conversation(group2).read_seq, shown.head_seq)

    with says(
        "6", "of `user_ids` in `create_group` and `add_members` only who is named counts, not the order nor how often"
    ):
        used = new_id()
        made = anna.works("create_group", client_msg_id=used, name="Set", user_ids=[bert.id, carl.id])
        again = [carl.id, anna.id, bert.id, carl.id]
        repeated = anna.works("create_group", client_msg_id=used, name="Set", user_ids=again)
        t.equal(repeated, dict(made, duplicate=True))
        anna.refused("CONFLICT", "create_group", client_msg_id=used, name="Set", user_ids=[bert.id])
        group5, used = made.conversation_id, new_id()
        added = anna.works("add_members", conversation_id=group5, client_msg_id=used, user_ids=[dora.id, erik.id])
        again = [erik.id, dora.id, erik.id]
        repeated = anna.works("add_members", conversation_id=group5, client_msg_id=used, user_ids=again)
        t.equal(repeated, dict(added, duplicate=True))
        anna.refused("CONFLICT", "add_members", conversation_id=group5, client_msg_id=used, user_ids=[dora.id])
    with says("6", "| anything in an own log | its user | `NOT_FOUND` |"):
        anna.refused("NOT_FOUND", "send", **text_request(bert.id))
        anna.refused("NOT_FOUND", "typing", conversation_id=bert.id, typing=True)
        anna.refused("NOT_FOUND", "history", conversation_id=bert.id, from_seq=1, limit=1)

    # The order in which things are looked at.

    order = (
        "the fields, the client id, the membership, whether the group has ended, the target, who may, whether it is"
        " gone, whether it fits, whether it changes anything, limits"
    )
    with says("6", order, "the fields before the client id"):
        used = new_id()
        anna.text(chat, "used", used)
        anna.refused("INVALID", "send", **text_request(chat, b"", client_msg_id=used))
    with says("6", order, "the client id before the membership"):
        group3 = anna.group(bert)
        used = new_id()
        bert.text(group3, "used", used)
        act(anna, "remove_member", group=group3, user_id=bert.id)
        bert.refused("CONFLICT", "send", **text_request(group3, b"other", client_msg_id=used))
    with says("6", order, "the membership before the end, and the end before the target"):
        act(anna, "disband_group", group=group3)
        act(bert, "send", "FORBIDDEN", group=group3, kind=33, target_seq=2)
        act(anna, "send", "GONE", group=group3, kind=33, target_seq=99)
        act(anna, "send", "GONE", group=group3, kind=1, content={"body": b"x", "reply_to": 99})
    with says("6", order, "the target before who may"):
        group4 = anna.group(bert, carl)
        act(bert, "send", "NOT_FOUND", group=group4, kind=32, target_seq=99, content={"body": b"x"})
    with says(
        "6",
        "a plain member learns nothing of others (`FORBIDDEN`), and an owner that there is no such member"
        " (`NOT_FOUND`).",
    ):
        for who, code in ((bert, "FORBIDDEN"), (anna, "NOT_FOUND")):
            act(who, "remove_member", code, group=group4, user_id=erik.id)
            act(who, "set_role", code, group=group4, user_id=erik.id, role=2)
    with says("6", order, "who may before whether it is gone, and that before whether it fits"):
        seq = anna.text(group4, "x").seq
        act(bert, "send", "FORBIDDEN", group=group4, kind=32, target_seq=seq, content={})
        act(anna, "send", "INVALID", group=group4, kind=32, target_seq=seq, content={})
        act(anna, "send", group=group4, kind=33, target_seq=seq)
        act(bert, "send", "FORBIDDEN", group=group4, kind=32, target_seq=seq, content={"body": b"x"})
        act(bert, "send", "FORBIDDEN", group=group4, kind=33, target_seq=seq)
        act(anna, "send", "GONE", group=group4, kind=32, target_seq=seq, content={})
    with says("6", order, "who may before whether it changes anything"):
        act(bert, "set_role", "FORBIDDEN", group=group4, user_id=carl.id, role=1)
        act(bert, "rename_group", "FORBIDDEN", group=group4, name="Group")
    with says("6", "An edit** replaces the whole content of a message and is checked as a message of that kind"):
        seq = anna.text(chat, "a", fallback="f", mentions=[bert.id], content_type="text/x").seq
        anna.works(
            "send", conversation_id=chat, client_msg_id=new_id(), kind=32, target_seq=seq, content={"body": b"b"}
        )
        event = bert.history(chat, seq, 1).events[0]
        t.equal(event.revision.content, {"body": b"b"})
    with says("6", "`reply_to` and `expires_at_ms` are 0 in an edit"):
        for field in ("reply_to", "expires_at_ms"):
            anna.refused(
                "INVALID",
                "send",
                conversation_id=chat,
                client_msg_id=new_id(),
                kind=32,
                target_seq=seq,
                content={"body": b"b", field: 1},
                blame="content." + field,
            )
    with says(
        "6",
        "An edit** replaces the whole content of a message",
        "an edit that changes nothing is stored, as the list of changes that change nothing does not have it",
    ):
        anna.works(
            "send", conversation_id=chat, client_msg_id=new_id(), kind=32, target_seq=seq, content={"body": b"b"}
        )
