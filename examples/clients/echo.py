"""Answers every text with the same text, over a WebSocket: python3 echo.py URL NAME PASSWORD [--binary]

URL is as ws://127.0.0.1:7400/v1/socket. It needs the package `websockets`. Messages are texts, or with --binary frames
of the protocol: a header of 8 bytes and JSON. docs/PROTOCOL.md, chapter 15, describes both.
"""
import base64, json, struct, sys, uuid
from websockets.sync.client import connect

url, name, password, *options = sys.argv[1:]
COMMANDS = {"hello": 1001, "register": 1003, "send": 3001, "events": 3100, "error": 0}


def written(command, seq, body):
    if "--binary" not in options:
        return json.dumps({"type": command, "seq": seq, "body": body})
    body = json.dumps(body).encode()
    return struct.pack("!IHH", len(body), COMMANDS[command], seq) + body


def read(message):
    if isinstance(message, str):
        frame = json.loads(message)
        return frame["type"], frame.get("body", frame.get("error"))
    # The highest bit of the command says that it is an answer.
    command = struct.unpack_from("!IH", message)[1] & 0x7FFF
    names = {number: name for name, number in COMMANDS.items()}
    return names.get(command, "other"), json.loads(message[8:] or b"{}")


with connect(url) as socket:
    device = {"device_id": "echo-" + uuid.uuid4().hex, "class": "DEVICE_CLASS_SCRIPT"}
    hello = {"magic": 0x494D5331, "version_min": 1, "version_max": 1, "device": device}
    socket.send(written("hello", 1, hello))
    socket.send(written("register", 2, {"name": name, "password": password}))
    for message in socket:
        command, body = read(message)
        if command == "error":
            sys.exit(body["message"])
        if command == "register":
            own = body["user"]["user_id"]
            print("listening as", name, flush=True)
        for event in body.get("events", []) if command == "events" else []:
            if event["kind"] == "EVENT_KIND_TEXT" and event["sender_id"] != own:
                client_id = base64.b64encode(uuid.uuid4().bytes).decode()
                answer = {"conversation_id": event["conversation_id"], "client_msg_id": client_id,
                          "kind": "EVENT_KIND_TEXT", "content": event["body"]["content"]}
                socket.send(written("send", 3, answer))
