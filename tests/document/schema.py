"""What the document says in its tables and its schema, and both encodings of the schema's messages."""

import base64
import re
import struct

PATIENCE = 20.0  # seconds until something that must come counts as missing
ANSWER = 0x8000
NUMBER_TYPES = {"uint32", "uint64", "fixed32", "bool"}
U64 = (1 << 64) - 1


class Differs(Exception):
    """The server does something else than the document says."""


class Closed(Exception):
    """The server closed the connection."""


class Late(Exception):
    """Something that must come did not come in time."""


class Message(dict):
    """One message: the fields that are present. A field that is absent reads as its default."""

    def __init__(self, schema, name, fields=()):
        super().__init__(fields)
        self.schema, self.type_name = schema, name

    def __getattr__(self, field):
        if field in self:
            return self[field]
        try:
            return self.schema.default(self.type_name, field)
        except KeyError:
            raise AttributeError(f"{self.type_name} has no field {field}") from None


class Schema:
    """The schema of the appendix, and both encodings of its messages."""

    def __init__(self, text):
        self.messages, self.enums = {}, {}
        for block in re.findall(r"```proto\n(.*?)```", text, re.S):
            block = re.sub(r"//[^\n]*", "", block)
            for what, name, inside in re.findall(r"\b(message|enum) (\w+) \{(.*?)\}", block, re.S):
                if what == "enum":
                    self.enums[name] = {n: int(v) for n, v in re.findall(r"(\w+) = (\d+);", inside)}
                else:
                    found = re.findall(r"(?:(repeated|optional) )?(\w+) (\w+) = (\d+);", inside)
                    self.messages[name] = {field: (int(number), kind, label) for label, kind, field, number in found}
        self.constants = {n: v for values in self.enums.values() for n, v in values.items()}

    def default(self, name, field):
        _, kind, label = self.messages[name][field]
        if label == "repeated":
            return []
        if kind in self.messages:
            return Message(self, kind)
        return {"string": "", "bytes": b"", "bool": False}.get(kind, 0)

    # Protocol buffers.

    def encode(self, name, fields):
        out = b""
        for field, (number, kind, label) in sorted(self.messages[name].items(), key=lambda item: item[1][0]):
            if field not in fields:
                continue
            value = fields[field]
            if label == "repeated":
                if kind in ("string", "bytes") or kind in self.messages:
                    out += b"".join(self.encode_field(number, kind, one) for one in value)
                elif value:
                    out += self.encode_field(number, "bytes", b"".join(self.encode_number(kind, one) for one in value))
            elif kind in self.messages or label == "optional" or value not in (0, "", b"", False):
                out += self.encode_field(number, kind, value)
        unknown = set(fields) - set(self.messages[name])
        assert not unknown, f"{name} has no {unknown}"
        return out

    def encode_number(self, kind, value):
        return struct.pack("<I", value) if kind == "fixed32" else varint(int(value))

    def encode_field(self, number, kind, value):
        if kind == "fixed32":
            return varint(number << 3 | 5) + self.encode_number(kind, value)
        if kind in NUMBER_TYPES or kind in self.enums:
            return varint(number << 3) + self.encode_number(kind, value)
        if kind == "string":
            value = value.encode()
        elif kind in self.messages:
            value = self.encode(kind, value)
        return varint(number << 3 | 2) + varint(len(value)) + value

    def decode(self, name, data):
        message = Message(self, name)
        by_number = {number: (field, kind, label) for field, (number, kind, label) in self.messages[name].items()}
        at = 0
        while at < len(data):
            key, at = read_varint(data, at)
            wire = key & 7
            if wire == 0:
                value, at = read_varint(data, at)
            elif wire == 2:
                length, at = read_varint(data, at)
                value, at = data[at : at + length], at + length
                if len(value) < length:
                    raise ValueError("cut off")
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
                value, at = int.from_bytes(data[at : at + length], "little"), at + length
            else:
                raise ValueError(f"wire type {wire}")
            if key >> 3 not in by_number:
                continue
            field, kind, label = by_number[key >> 3]
            if kind == "string":
                value = value.decode()
            elif kind in self.messages:
                value = self.decode(kind, value)
            elif kind == "bool":
                value = bool(value)
            if label != "repeated":
                message[field] = value
            elif wire == 2 and (kind in NUMBER_TYPES or kind in self.enums):
                inside = 0
                while inside < len(value):
                    one, inside = read_varint(value, inside)
                    message.setdefault(field, []).append(one)
            else:
                message.setdefault(field, []).append(value)
        return message

    # JSON, written as section 2 says, and read strictly: what the server writes must have that very form.

    def to_json(self, name, fields):
        out = {}
        for field, value in fields.items():
            _, kind, label = self.messages[name][field]
            if label == "repeated":
                if value:
                    out[field] = [self.value_to_json(kind, one) for one in value]
            elif kind in self.messages or label == "optional" or value not in (0, "", b"", False):
                out[field] = self.value_to_json(kind, value)
        return out

    def value_to_json(self, kind, value):
        if kind in self.messages:
            return self.to_json(kind, value)
        if kind in self.enums:
            return next((n for n, v in self.enums[kind].items() if v == value), value)
        if kind == "uint64":
            return str(value)
        if kind == "bytes":
            return base64.b64encode(value).decode()
        return value

    def from_json(self, name, value):
        if not isinstance(value, dict):
            raise Differs(f"{name} is written as {value!r}")
        message = Message(self, name)
        for field, one in value.items():
            if field not in self.messages[name]:
                raise Differs(f"{name} is written with {field!r}, which the schema does not have")
            _, kind, label = self.messages[name][field]
            if label == "repeated":
                if not isinstance(one, list) or not one:
                    raise Differs(f"{name}.{field} is written as {one!r}")
                message[field] = [self.value_from_json(kind, each, f"{name}.{field}") for each in one]
            else:
                message[field] = self.value_from_json(kind, one, f"{name}.{field}")
                if kind not in self.messages and label != "optional" and message[field] in (0, "", b"", False):
                    raise Differs(f"{name}.{field} is written although it has its default: {one!r}")
        return message

    def value_from_json(self, kind, value, where):
        form = f"{where} is written as {value!r}"
        if kind in self.messages:
            return self.from_json(kind, value)
        if kind in self.enums:
            if value not in self.enums[kind]:
                raise Differs(form)
            return self.enums[kind][value]
        if kind == "uint64":
            if not isinstance(value, str) or not re.fullmatch(r"[0-9]+", value):
                raise Differs(form)
            return int(value)
        if kind == "bytes":
            if not isinstance(value, str) or base64.b64encode(base64.b64decode(value)).decode() != value:
                raise Differs(form)
            return base64.b64decode(value)
        wanted = {"string": str, "bool": bool}.get(kind, int)
        if type(value) is not wanted:
            raise Differs(form)
        return value


def varint(value):
    value &= U64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & U64, at


class Document:
    """What the document says in its tables, and whether it says a sentence."""

    def __init__(self, text):
        self.text = text
        self.words = " ".join(text.split())
        self.schema = Schema(text)
        self.commands = {}  # number: (name, request, answer)
        for number, name, request, answer in re.findall(r"^\| (\d{4}) \| `(\w+)` \| `(\w+)` \| `(\w+)` \|", text, re.M):
            self.commands[int(number)] = (name, request, answer)
        self.numbers = {name: number for number, (name, _, _) in self.commands.items()}
        self.pushes = {}  # number: (name, message)
        for number, name, body in re.findall(r"^\| (\d{4}) \| `(\w+)` \| `(\w+)` \| [a-z]", text, re.M):
            self.pushes[int(number)] = (name, body)
        self.codes = {}  # name: (number, class, wait)
        rows = re.findall(r"^\| (\d+) \| `(\w+)` \| `(\w+)` \| ([\d,]+)(?: ms)? \|", text, re.M)
        for number, name, kind, wait in rows:
            self.codes[name] = (int(number), "ERROR_CLASS_" + kind, int(wait.replace(",", "")))

    def reserved(self):
        """The account names that nobody gets, as the document lists them."""
        _, _, rest = self.text.partition("They are, in upper and lower case alike:")
        return re.findall(r"`([a-z]+)`", rest.partition(";")[0])

    def says(self, sentence):
        return " ".join(sentence.split()) in self.words
