"""Checks of section 9: sessions, accounts, names."""

from checker import ends, wait_until


def fill(character, size):
    return character * size


CONTROL = [
    "\0",
    "\x1f",
    "\n",
    "\t",
    "\x80",
    "\x9f",
    "\u2028",
    "\u2029",
    "\u202a",
    "\u202e",
    "\u2066",
    "\u2069",
    "\ufeff",
]
NO_CONTROL = ["\u200b", "\u200e", "\u00ad", "\u2065", "\u202f", "\u2800", "\u206a"]


def section_9_session(t):
    says = t.says
    for encoding in ("protobuf", "json"):

        def hello(code=None, blame=None, **changed):
            client = t.connect(encoding)
            fields = client.hello()
            fields.update(changed)
            if code == "UNAUTHENTICATED":
                return client.refused(code, "hello", **fields)
            if code:
                client.ask("hello", fields, seq=3)
                error = ends(client, code, 3)
                t.true(blame is None or error.field == blame, f"{code} blames {error.field!r}, not {blame!r}")
                return error
            return client.works("hello", **fields)

        for magic in (0, 1, 0x494D5332, 0x31534D49):
            with says(
                "9",
                "the fixed number `0x494D5331` (1229804337), the letters `IMS1`; anything else: `PROTOCOL`",
                f"{magic:#x}, {encoding}",
            ):
                hello("PROTOCOL", magic=magic)
        for low, high in ((0, 0), (0, 1), (2, 1), (1, 0)):
            with says("9", "the versions the client speaks: 1 ≤ min ≤ max.", f"{low} to {high}, {encoding}"):
                hello("INVALID", version_min=low, version_max=high)
        with says("9", "The answer tells the `version` that both speak from now on (the highest common one)", encoding):
            t.equal(hello(version_min=1, version_max=4294967295).version, 1)
        with says("9", "Unknown ones are ignored", encoding):
            t.equal((hello(capabilities=(1 << 64) - 2).capabilities, hello(capabilities=3).capabilities), (0, 1))
        for device_id in ("a", "A-z_0.9", fill("d", 64), ".", "-"):
            with says("9", "| `device.device_id` | 1 to 64 of `A-Z a-z 0-9 . _ -` |", f"{device_id}, {encoding}"):
                hello(device={"device_id": device_id})
        for device_id in ("", fill("d", 65), "a b", "é", "a\n", "a/b"):
            with says("9", "| `device.device_id` | 1 to 64 of `A-Z a-z 0-9 . _ -` |", f"not {device_id!r}, {encoding}"):
                hello("INVALID", "device.device_id", device={"device_id": device_id})
        with says("9", "| `device.device_id` | 1 to 64 of `A-Z a-z 0-9 . _ -` |", f"no device at all, {encoding}"):
            client = t.connect(encoding)
            fields = client.hello()
            del fields["device"]
            client.ask("hello", fields)
            ends(client, "INVALID")
        for number in (0, 1, 2, 3, 4):
            with says("9", "`UNSPECIFIED` (0), `MOBILE` (1), `DESKTOP` (2), `WEB` (3) or `SCRIPT` (4)", f"{number}, {encoding}"):
                hello(device={"device_id": "d", "class": number})
        with says("9", "`UNSPECIFIED` (0), `MOBILE` (1), `DESKTOP` (2), `WEB` (3) or `SCRIPT` (4)", f"5, {encoding}"):
            hello("INVALID", "device.class", device={"device_id": "d", "class": 5})
        with says("9", "| `device.name` | empty, or a name for people", encoding):
            hello(device={"device_id": "d", "name": fill("ü", 64)})
            hello("INVALID", "device.name", device={"device_id": "d", "name": fill("ü", 65)})
            hello("INVALID", "device.name", device={"device_id": "d", "name": " "})
        with says("9", "empty, or the token of a session; at most 256 bytes", encoding):
            hello("UNAUTHENTICATED", session_token=fill("x", 256))
            hello("INVALID", "session_token", session_token=fill("x", 257))
        with says("9", "name and version of the program, for logs: at most 256 bytes, no control characters", encoding):
            hello(client="")
            hello(client=fill("x", 256))
            hello("INVALID", "client", client=fill("x", 257))
            hello("INVALID", "client", client=fill("é", 128) + "x")
            hello("INVALID", "client", client="a\nb")

        anna = t.user(encoding, sync=False)
        with says(
            "9", "`limits`, `heartbeat_ms`, `idle_ms`, the server's clock, and `session` if a token was given", encoding
        ):
            t.true(
                "session" not in anna.welcomed
                and anna.welcomed.server_time_ms > 1 << 40
                and anna.welcomed.server
                and anna.welcomed.node
            )
            again = t.resume(anna.token, encoding)
            session = again.welcomed.session
            t.equal(
                (session.user, session.session_id, session.epoch, session.token),
                (anna.user, anna.session.session_id, anna.epoch, ""),
            )
        with says(
            "9",
            "Answered in every state; before the first hello there must be no body, later an empty message.",
            f"after a refused one, {encoding}",
        ):
            client = t.connect(encoding)
            client.refused("UNAUTHENTICATED", "hello", **client.hello(token="x"))
            client.works("ping", body=b"")
            client.works("ping", body=b"{}" if encoding == "json" else b"\xf8\x3e\x01")

        def register(code=None, blame=None, **fields):
            client = t.connect(encoding)
            client.welcome()
            fields.setdefault("name", t.new_name())
            fields.setdefault("password", "correct horse")
            if code:
                return client.refused(code, "register", blame=blame, **fields)
            client.take(client.works("register", **fields))
            client.name = fields["name"]
            return client

        def login(client, password, code=None):
            other = t.connect(encoding)
            other.welcome()
            if code:
                return other.refused(code, "login", name=client.name, password=password)
            return other.works("login", name=client.name, password=password)

        for password in (fill("x", 8), fill("x", 128), fill("😀", 128), fill("é", 8), "        "):
            with says("9", "8 to 128 characters and at most 512 bytes", f"{password!r:.12}, {encoding}"):
                login(register(password=password), password)
        for password in ("", fill("x", 7), fill("x", 129), fill("é", 7), fill("é", 129), fill("😀", 129)):
            with says(
                "9", "8 to 128 characters and at most 512 bytes", f"not {len(password)} {password!r:.12}, {encoding}"
            ):
                register("INVALID", "password", password=password)
        with says(
            "9",
            "Characters are counted, and passwords compared, after all spaces became U+0020 and the rest NFC",
            f"counted, {encoding}",
        ):
            register("INVALID", "password", password="e\u0301" * 7)
            register(password="e\u0301" * 128)
        with says(
            "9",
            "Characters are counted, and passwords compared, after all spaces became U+0020 and the rest NFC",
            f"compared, {encoding}",
        ):
            client = register(password="cafe\u0301 au\u3000lait\u00a0!")
            login(client, "café au lait !")
            login(client, "cafe au lait !", "BAD_CREDENTIALS")
            login(client, "Café au lait !", "BAD_CREDENTIALS")
        with says("9", "empty (the name as typed is taken), or a name for people", encoding):
            t.equal(register(display_name="Änne").user.display_name, "Änne")
            register("INVALID", "display_name", display_name=" ")
            register("INVALID", "display_name", display_name=fill("x", 65))
            register(display_name=fill("x", 64))
        with says("9", "They are, in upper and lower case alike:", encoding):
            t.true(len(t.document.reserved()) > 40 and "imserver" in t.document.reserved())
        for name in t.document.reserved() if encoding == "protobuf" else ("Admin",):
            with says("9", "Reserved names are refused as `INVALID` with the field `name`.", f"{name}, {encoding}"):
                register("INVALID", "name", name=name)
        if encoding == "protobuf":
            for name in (
                "a.d-m_i.n",
                "r00t",
                "5y5t3m",
                "5upp0rt",
                "8ot",
                "b07",
                "a11",
                "ail",
                "adm1n",
                "adrnin",
                "rnoderator",
                "0fficia1",
                "h3re",
                "s3rver",
                "ev3ryone",
                "sys7em",
                "4dmin",
                "se1f",
                "imserver.",
                "ALL",
            ):
                with says("9", "those that look like one of them", name):
                    register("INVALID", "name", name=name)
            for name in ("user-5", "User-123456", "user-0", "user-2147483647"):
                with says(
                    "9",
                    "and `user-` with a number, which a client may show for an account whose name it does not know",
                    name,
                ):
                    register("INVALID", "name", name=name)
        with says(
            "9",
            "Creates the account and logs in. The answer's `token` is the session's; `epoch` is the store's.",
            encoding,
        ):
            client = register()
            t.true(client.token and client.epoch and client.session.session_id)
            t.equal(client.user.version >= 1 and client.user.created_at_ms > 1 << 40, True)
            t.equal(t.resume(client.token, encoding).id, client.id)
        with says("9", "| `password` | at most 512 bytes |", encoding):
            login(client, fill("x", 512), "BAD_CREDENTIALS")
            login(client, "", "BAD_CREDENTIALS")
            login(client, fill("x", 513), "INVALID")
        with says("9", "`BAD_CREDENTIALS` says neither whether the name exists nor how long anything took", encoding):
            other = t.connect(encoding)
            other.welcome()
            errors = [
                other.refused("BAD_CREDENTIALS", "login", name=name, password="wrong horse")
                for name in (client.name, t.new_name())
            ]
            t.equal(errors[0], errors[1])

        bert = t.user(encoding, device={"device_id": "one", "class": 2, "name": "One"})
        two = t.device(bert, encoding, device={"device_id": "two", "class": 1})
        three = t.device(bert, encoding)
        three.close()
        with says(
            "9",
            "`list_devices` lists the user's sessions; `current` marks this one, `online` those connected now",
            encoding,
        ):
            listed = lambda: {s.session_id: s for s in bert.works("list_devices").sessions}
            wait_until(bert, lambda: not listed()[three.session.session_id].online)
            sessions = listed()
            t.equal(
                [
                    (sessions[c.session.session_id].online, sessions[c.session.session_id].current)
                    for c in (bert, two, three)
                ],
                [(True, True), (True, False), (False, False)],
            )
            t.equal(sessions[bert.session.session_id].device, {"device_id": "one", "class": 2, "name": "One"})
        with says(
            "9",
            "`logout_others` ends all other sessions of the user and says how many; their connections end with"
            " `go_away` `REVOKED`",
            encoding,
        ):
            t.equal(bert.works("logout_others").sessions, 2)
            t.equal([(f.name, f.body.get("reason")) for f in two.closes()], [("go_away", 4)])
            t.equal(bert.works("logout_others").sessions, 0)
        with says(
            "9",
            "`logout` ends this session; its token is void at once, everywhere, and the server closes after the answer",
            encoding,
        ):
            t.true(not bert.request("logout").error)
            client = t.connect(encoding)
            client.refused("UNAUTHENTICATED", "hello", **client.hello(token=bert.token))
            frames = bert.closes()
            t.equal([f.name for f in frames if f.name != "go_away"], [])


def section_9_account(t):
    says = t.says
    for encoding in ("protobuf", "json"):
        anna, bert = t.users(2, encoding=encoding)
        with says("9", "The profiles, by id, each once; unknown ids are left out.", encoding):
            users = anna.works("get_users", user_ids=[bert.id, anna.id, bert.id, (1 << 31) - 1]).users
            t.equal(users, [anna.user, bert.user])
        with says("9", "`user_ids`: 1 to 500 user ids (`TOO_MANY` beyond).", encoding):
            anna.works("get_users", user_ids=[anna.id] * 500)
            anna.refused("TOO_MANY", "get_users", user_ids=[anna.id] * 501, blame="user_ids")
            anna.refused("INVALID", "get_users", user_ids=[], blame="user_ids")
            anna.refused("INVALID", "get_users", user_ids=[0], blame="user_ids")
            anna.refused("INVALID", "get_users", user_ids=[anna.id, 1 << 31], blame="user_ids")
        with says("9", "`name`: an account name. Refused with `NOT_FOUND`.", encoding):
            t.equal(anna.works("find_user", name=bert.name).user, bert.user)
            anna.refused("NOT_FOUND", "find_user", name=t.new_name())
        with says(
            "9",
            "Fields that are absent stay as they are; present and empty, `avatar` and `status` are cleared. The answer"
            " is the new profile.",
            encoding,
        ):
            first = anna.works("update_profile", display_name="Änne", avatar="a", status="s").user
            t.equal((first.display_name, first.avatar, first.status), ("Änne", "a", "s"))
            second = anna.works("update_profile", avatar="").user
            t.equal((second.display_name, second.avatar, second.status), ("Änne", "", "s"))
            t.equal(bert.works("get_users", user_ids=[anna.id]).users, [second])
        with says("9", "`version` grows with every change", encoding):
            t.true(anna.user.version < first.version < second.version)
        for field in ("avatar", "status"):
            with says("9", f"| `{field}` | at most 256 bytes, no control characters |", encoding):
                anna.works("update_profile", **{field: fill("x", 256)})
                anna.works("update_profile", **{field: fill("é", 128)})
                anna.refused("INVALID", "update_profile", **{field: fill("x", 257)}, blame=field)
                anna.refused("INVALID", "update_profile", **{field: fill("é", 128) + "x"}, blame=field)
        with says("9", "| `display_name` | a name for people |", encoding):
            anna.refused("INVALID", "update_profile", display_name="", blame="display_name")
    for character in CONTROL:
        with says(
            "9",
            "none of C0, C1, U+2028, U+2029, U+202A to U+202E, U+2066 to U+2069 and U+FEFF",
            f"U+{ord(character):04X}",
        ):
            anna.refused("INVALID", "update_profile", status=f"a{character}b", blame="status")
    for character in NO_CONTROL:
        with says("9", 'In a rule above "no control characters" means less', f"U+{ord(character):04X}"):
            anna.works("update_profile", status=f"a{character}b")
    carl = t.user("json")
    good = {
        "64 of them": fill("ü", 64),
        "64 beyond the first plane": fill("😀", 64),
        "one": "x",
        "a blank inside": "a b",
        "U+FE0F after an emoji": "❤\ufe0f",
        "U+FE0E after an emoji": "❤\ufe0e",
        "a family": "👩\u200d👩\u200d👧",
        "with a skin colour": "👩🏽\u200d🚀",
        "with U+FE0F in between": "🏳\ufe0f\u200d🌈",
        "U+200D after a virama": "क\u094d\u200dष",
        "U+200C after a virama": "क\u094d\u200cष",
        "U+200C between letters that join": "می\u200cخواهم",
        "the flag of Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "the flag of England": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "a combining mark": "e\u0301",
        "a digit": "7",
    }
    for what, name in good.items():
        with says(
            "9",
            "Display names, group names, device names: 1 to 64 characters (Unicode scalar values), at least one that"
            " leaves a mark.",
            what,
        ):
            t.equal(carl.works("update_profile", display_name=name).user.display_name, name)
    bad = {
        "none": "",
        "65": fill("x", 65),
        "blanks": "   ",
        "U+00A0": "\u00a0",
        "U+3000": "\u3000",
        "Cc": "a\x07",
        "DEL": "a\x7f",
        "C1": "a\x85",
        "a newline": "a\nb",
        "Cf": "a\u200bb",
        "Cf, soft hyphen": "a\u00adb",
        "Cf, direction": "a\u202eb",
        "Zl": "a\u2028b",
        "Zp": "a\u2029b",
        "Co": "a\ue000",
        "Cn": "a\u0378",
        "Cn, a noncharacter": "a\ufffe",
        "a filler of Hangul": "a\u115f",
        "another": "a\u3164",
        "a variation selector": "a\ufe00",
        "U+FE0F after a letter": "a\ufe0f",
        "tags": "a\U000e0061",
        "tags of no flag": "🏴\U000e0061\U000e007f",
        "U+2800": "a\u2800",
        "U+FFFC": "a\ufffc",
        "U+1D159": "a\U0001d159",
        "U+16FE4": "a\U00016fe4",
        "U+13441": "a\U00013441",
        "U+13442": "a\U00013442",
        "a combining mark first": "\u0301a",
        "one after a space": "a \u0301",
        "U+200D between letters": "a\u200db",
        "U+200C between letters that do not join": "a\u200cb",
        "U+200D at the end": "👩\u200d",
        "U+FEFF": "\ufeffa",
        "combining grapheme joiner": "a\u034fb",
        "U+E0100": "a\U000e0100",
    }
    for what, name in bad.items():
        with says("9", "Refused are characters that leave none or that nobody may know", what):
            carl.refused("INVALID", "update_profile", display_name=name, blame="display_name")
