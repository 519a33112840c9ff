"""Checks of section 14: the session, byte by byte."""

import json
import re
import struct

from checker import ends
from client import new_id
from schema import ANSWER


def examples(text):
    """The frames of section 14: what they are, their bytes, and the JSON below."""
    text = text[text.index("## 14. ") : text.index("## Appendix")]
    for kind, data, shown in re.findall(r"```wire (\w+(?: json)?)\n(.*?)```\s*```json\n(.*?)```", text, re.S):
        yield kind, bytes.fromhex(data), json.loads(shown)


def section_14(t):
    document, schema = t.document, t.document.schema
    found = list(examples(document.text))
    with t.says(
        "14",
        "Each example is one frame: the header on the first line, the body below it, and after it the body in JSON.",
    ):
        t.equal(len(found), document.text.count("```wire "))
    for number, (kind, data, shown) in enumerate(found, 1):
        with t.says("14", "Each example is one frame", f"example {number}"):
            length, command, seq = struct.unpack(">IHH", data[:8])
            body = data[8:]
            t.equal(len(body), length, "the length")
            t.equal(bool(command & ANSWER), kind in ("reply", "error"), "bit 15")
            t.equal(seq == 0, kind == "push", "the seq")
            if kind == "push":
                message = document.pushes[command][1]
            elif kind == "error":
                message = "Error"
                t.equal(command, ANSWER)
            else:
                message = document.commands[command & 0x3FFF][2 if kind == "reply" else 1]
            value = schema.from_json(message, shown)
            if kind.endswith("json"):
                t.equal(schema.from_json(message, json.loads(body)), value)
                return_ = json.dumps(
                    schema.to_json(message, schema.from_json(message, json.loads(body))),
                    separators=(",", ":"),
                    ensure_ascii=False,
                )
                t.equal(return_.encode(), body)
            else:
                t.equal(schema.decode(message, body), value, "what the bytes say")
                t.equal(schema.encode(message, value), body, "the bytes")
                t.equal(schema.to_json(message, value), shown, "the JSON")
    requests = [example for example in found if example[0].startswith("request")]
    hello, hello_json, register = requests[1][1], requests[2][1], requests[3][1]

    def alike(name, is_, should):
        """The server's answer has the fields of the example, and the values that are not its own."""
        own = {
            "server_time_ms",
            "sync_token",
            "token",
            "session_id",
            "epoch",
            "user_id",
            "created_at_ms",
            "sent_at_ms",
            "conversation_id",
            "client_msg_id",
            "server",
            "node",
            "last_at_ms",
            "sender_id",
            "user_ids",
            "message",
            "retry_after_ms",
            "name",
            "display_name",
        }
        t.equal(set(is_) - {"request_id"}, set(should), f"the fields of {name}")
        for field, value in should.items():
            if isinstance(value, dict):
                alike(field, is_[field], value)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                t.equal(len(is_[field]), len(value), field)
                for a, b in zip(is_[field], value):
                    alike(field, a, b)
            elif field not in own:
                t.equal(is_[field], value, field)

    def shown(frame, message):
        return schema.to_json(message, frame)

    replies = [example for example in found if example[0] != "request" and example[0] != "request json"]
    with t.says("14", "A ping may come before everything else. Its answer has no token yet."):
        anna = t.connect()
        anna.write(requests[0][1])
        alike("pong", shown(anna.answer(1).body, "Pong"), replies[0][2])
    with t.says("14", "The hello: type `0x03e9` is 1001, seq 2."):
        anna.write(hello)
        anna.welcomed = anna.answer(2).body
        alike("welcome", shown(anna.welcomed, "Welcome"), replies[1][2])
    with t.says("14", "The same as JSON. Everything that follows on that connection would be JSON as well."):
        client = t.connect("json")
        client.write(hello_json)
        alike("welcome", shown(client.answer(2).body, "Welcome"), replies[1][2])
        client.works("ping")
    with t.says("14", "Anna registers; `name` is typed with a capital letter."):
        anna.write(register)
        answer = anna.answer(3)
        alike("session", shown(answer.body, "Session"), replies[2][2])
        anna.take(answer.body)
        t.equal((anna.user.name, anna.user.display_name), ("anna", "Anna"))
        anna.name, anna.password = "anna", "correct horse"
    with t.says("14", "A new device: the list of conversations is still empty, but it brings a sync token."):
        anna.write(requests[4][1])
        answer = anna.answer(4).body
        alike("list", shown(answer, "ListConversationsResponse"), replies[3][2])
    with t.says("14", "She syncs from it; nothing changed meanwhile. From now on pongs carry tokens."):
        alike("sync", shown(anna.works("sync", token=answer.sync_token, limit=100), "SyncResponse"), replies[4][2])
    bert, carl = t.users(2)
    chat = anna.with_user(bert)
    decoded = lambda example: schema.decode(
        document.commands[struct.unpack(">H", example[1][4:6])[0]][1], example[1][8:]
    )
    with t.says("14", "It is stored: seq 1."):
        message = dict(decoded(requests[6]), conversation_id=chat)
        alike("send", shown(anna.works("send", **message), "SendResponse"), replies[5][2])
    with t.says("14", "The event itself, as it is pushed to all devices of both, Anna's included."):
        for client in (anna, bert):
            alike("page", shown(client.push("events"), "Page"), replies[6][2])
    with t.says("14", "Her device has applied and stored it."):
        t.equal(anna.request("delivered", up_to=[{"conversation_id": chat, "seq": 1}]).raw, b"")
    with t.says("14", "Bert has read it."):
        bert.works("read", conversation_id=chat, seq=1)
        alike("cursors", shown(anna.push("cursors"), "CursorsPush"), replies[8][2])
    with t.says("14", "It is an event of its own, seq 2, and counts in no ordinal."):
        edit = dict(decoded(requests[8]), conversation_id=chat)
        alike("send", shown(anna.works("send", **edit), "SendResponse"), replies[9][2])
        for client in (anna, bert):
            alike("page", shown(client.push("events"), "Page"), replies[10][2])
    with t.says(
        "14", "Bert reacts to the message. His device sent kind `REACTION` with `target_seq` 1; this is what Anna gets."
    ):
        bert.works("send", conversation_id=chat, client_msg_id=new_id(), kind=34, target_seq=1, reaction="👍")
        alike("page", shown(anna.push("events"), "Page"), replies[11][2])
    with t.says("14", "Whoever reads the message now gets what became of it along with it."):
        history = anna.works("history", conversation_id=chat, epoch=anna.epoch, from_seq=1, limit=1)
        alike("history", shown(history, "HistoryResponse"), replies[12][2])
    with t.says("14", "A message that is not worth storing: quality `AT_MOST_ONCE`. The answer has no seq."):
        passing = dict(decoded(requests[10]), conversation_id=chat)
        alike("send", shown(anna.works("send", **passing), "SendResponse"), replies[13][2])
        alike("transient", shown(bert.push("transient"), "TransientPush"), replies[14][2])
    with t.says("14", "Anna makes a group with Bert and user 3. The answer says which id it has."):
        made = anna.works("create_group", client_msg_id=new_id(), name="Hiking", user_ids=[bert.id, carl.id])
        alike("send", shown(made, "SendResponse"), replies[15][2])
    with t.says("14", "The first event of the group, as all three get it."):
        for client in (anna, bert, carl):
            page = client.push("events", lambda p: p.conversation_id == made.conversation_id)
            alike("page", shown(page, "Page"), replies[16][2])
    with t.says(
        "14",
        "They are shown the group as it was when they went, at seq 9, with the two of the messages of their stay that"
        " they had not read.",
    ):
        group = made.conversation_id
        for i in range(6):
            anna.text(group, str(i))
        anna.works("send", conversation_id=group, client_msg_id=new_id(), kind=33, target_seq=2)
        carl.works("read", conversation_id=group, seq=5)
        carl.works("delivered", up_to=[{"conversation_id": group, "seq": 6}])
        anna.works("remove_member", conversation_id=group, client_msg_id=new_id(), user_id=carl.id)
        answer = carl.works("get_conversations", conversation_ids=[group, chat])
        alike("conversations", shown(answer, "GetConversationsResponse"), replies[17][2])
    with t.says("14", "A send that reused a client id for another text is refused, for good."):
        error = anna.refused("CONFLICT", "send", **dict(message, content={"body": b"other"}))
        alike("error", shown(error, "Error"), next(e[2] for e in replies if e[2].get("code") == "ERROR_CODE_CONFLICT"))
    with t.says("14", "And what a client of a later version alone would have been told at its hello:"):
        client = t.connect()
        client.ask("hello", client.hello(version_min=2, version_max=2))
        error = ends(client, "UNSUPPORTED_VERSION")
        alike(
            "error",
            shown(error, "Error"),
            next(e[2] for e in replies if e[2].get("code") == "ERROR_CODE_UNSUPPORTED_VERSION"),
        )
    with t.says(
        "14",
        "Another device of Anna's has the capability that [answers are events](#answers-that-are-events), and so has"
        " the server.",
    ):
        phone = t.device(anna, device={"device_id": "phone-07", "class": 1})
        resumed = t.connect()
        welcome = resumed.welcome(device={"device_id": "phone-07", "class": 1}, token=phone.token, capabilities=1)
        alike("welcome", shown(welcome, "Welcome"), replies[-2][2])
    with t.says("14", "She sends. No event is pushed to this connection: the answer is the event."):
        resumed.begin()
        answer = resumed.text(group, "See you at nine")
        alike("send", shown(answer, "SendResponse"), replies[-1][2])
        anna.event(group, 10)
        resumed.barrier()
        t.true(not resumed.has("events"))
