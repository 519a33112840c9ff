//! Calls: one command each, as JSON. The body is the request's; what HTTP has words of its own for (who, on which
//! device, which repetition) is put into the request here.

use std::fmt;

use bytes::Bytes;
use netcore::{Flow, http::Head};
use protocol::{
    Command, Encoding, Frame, Kind, MAGIC, MessageType, Refusal, Request, VERSION,
    v1::{Device, DeviceClass, ErrorCode, Hello},
    validate,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use storage::TokenHash;

use super::{CALL_SEQ, Pending};
use crate::{
    gateway::handler::{Cx, Gateway},
    session::Caller,
    token,
};

/// Bytes of a client message id.
const CLIENT_ID_BYTES: usize = 16;
/// The names of the field, as JSON may spell them.
const CLIENT_ID: [&str; 2] = ["client_msg_id", "clientMsgId"];

impl Gateway {
    pub(super) fn call(&mut self, cx: &mut Cx<'_>, command: Command, head: &Head, body: Bytes) -> Flow<Self> {
        let (caller, body) = match prepare(command, head, body, &self.terms.rules.validation) {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse_request(cx, &refusal),
        };
        let frame = Frame {
            kind: MessageType::request(command.number()),
            seq: CALL_SEQ,
            body,
        };
        match caller {
            By::Token(token) => self.identify(cx, token, Pending::Call(frame)),
            By::Device(device) => {
                let address = self.allowance_of_request(cx);
                let session = &mut cx.conn().session;
                session.begin_call(Caller::Unknown(device), address);
                self.judged(cx, &frame)
            }
        }
    }

    pub(super) fn unknown_command(&mut self, cx: &mut Cx<'_>, path: &str) -> Flow<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let message = match Command::from_name(name) {
            Some(command) => format!("{} belongs to a connection, and is no call", command.name()),
            None => "there is no such command".to_owned(),
        };
        self.refuse_request(cx, &Refusal::new(ErrorCode::UnknownCommand, message))
    }
}

/// Who calls.
enum By {
    /// The owner of this token.
    Token(TokenHash),
    /// Nobody known yet, on this device.
    Device(Box<Device>),
}

/// Who calls, and the body as the protocol has it. Whoever should have said who they are hears that first of all.
fn prepare(
    command: Command,
    head: &Head,
    body: Bytes,
    limits: &validate::Limits,
) -> Result<(By, Bytes), Refusal> {
    if command.kind() == Some(Kind::Open) {
        let (body, device) = with_device(&body, limits)?;
        return Ok((By::Device(Box::new(device)), body));
    }
    let token = Gateway::token_of(head)?;
    let body = if command.kind() == Some(Kind::Append) {
        with_client_id(&body, head.header("idempotency-key"))?
    } else {
        body
    };
    Ok((By::Token(token), body))
}

/// The fields of an object, each value as it was written: it is looked through once, and what a field holds is read where
/// the request is decoded.
struct Fields<'a>(Vec<(String, &'a RawValue)>, TooMany);

/// There were more than are kept.
type TooMany = bool;

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields: Vec<(String, &RawValue)> = Vec::new();
                while fields.len() < FIELDS_MAX {
                    match map.next_entry()? {
                        Some(field) => fields.push(field),
                        None => return Ok(Fields(fields, false)),
                    }
                }
                let mut too_many = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(Fields(fields, too_many))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Fields of a request, at most: more than any has.
const FIELDS_MAX: usize = 64;

impl<'a> Fields<'a> {
    /// Takes the fields of these names out: the value of the one that there is.
    ///
    /// # Errors
    /// There is more than one.
    fn take(&mut self, names: &[&str]) -> Result<Option<&'a RawValue>, Refusal> {
        let mut taken = None;
        for (_, value) in self.0.extract_if(.., |(name, _)| names.contains(&&**name)) {
            if taken.is_some() {
                let name = names.first().copied().unwrap_or_default();
                return Err(Refusal::invalid(name, "occurs twice"));
            }
            taken = Some(value);
        }
        Ok(taken)
    }

    fn written(&self) -> Bytes {
        let fields = self.0.iter().map(|(name, value)| {
            // A text: nothing here can fail.
            let name = serde_json::to_string(name).unwrap_or_default();
            format!("{name}:{}", value.get())
        });
        let fields: Vec<String> = fields.collect();
        Bytes::from(format!("{{{}}}", fields.join(",")))
    }
}

/// An object; `None` for anything else, which is refused where it is decoded.
///
/// # Errors
/// It has more fields than any request.
fn object(body: &[u8]) -> Result<Option<Fields<'_>>, Refusal> {
    let object: Option<Fields<'_>> = serde_json::from_slice(body).ok();
    match object {
        Some(Fields(_, true)) => Err(Refusal::invalid("", format!("has more than {FIELDS_MAX} fields"))),
        other => Ok(other),
    }
}

/// The body without the device that it may name, and that device: a script's without one.
fn with_device(body: &Bytes, limits: &validate::Limits) -> Result<(Bytes, Device), Refusal> {
    let Some(mut request) = object(body)? else {
        return Ok((body.clone(), script()?));
    };
    let named = request.take(&["device"])?.filter(|named| named.get() != "null");
    let Some(named) = named else {
        return Ok((request.written(), script()?));
    };
    let device: Device = Encoding::Json.decode(named.get().to_owned().into())?;
    let hello = Request::Hello(Hello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        device: Some(device.clone()),
        ..Hello::default()
    });
    validate::request(&hello, limits)?;
    Ok((request.written(), device))
}

/// The device of a caller that names none. Each is another one, so that no caller takes another's session.
fn script() -> Result<Device, Refusal> {
    let number = token::random_u63().map_err(|error| {
        log::error!("{error}");
        Refusal::new(ErrorCode::Unavailable, "no randomness")
    })?;
    Ok(Device {
        device_id: format!("script-{number:016x}"),
        class: DeviceClass::Script.into(),
        name: String::new(),
    })
}

/// The body with a client id in the form of the protocol. It may be given as the text of a UUID, or as the
/// `Idempotency-Key` of the request; without either, the request cannot be repeated, and gets a random one.
fn with_client_id(body: &Bytes, key: Option<&[u8]>) -> Result<Bytes, Refusal> {
    let Some(mut request) = object(body)? else {
        return Ok(body.clone());
    };
    let given = request.take(&CLIENT_ID)?;
    let given = match given.map(|given| serde_json::from_str(given.get())) {
        None => None,
        Some(Ok(given)) => Some(given),
        // A text that is none, which is refused where it is decoded.
        Some(Err(_)) => return Ok(body.clone()),
    };
    let key = key.map(key_of).transpose()?;
    let id = match (given, key) {
        (Some(Value::String(text)), _) if !text.is_empty() => match uuid(&text) {
            Some(id) => id,
            // As the protocol has it, or wrong.
            None => return Ok(body.clone()),
        },
        (Some(Value::String(_) | Value::Null) | None, Some(key)) => key,
        (Some(Value::String(_) | Value::Null) | None, None) => random_id()?,
        (Some(_), _) => return Ok(body.clone()),
    };
    let id = format!("\"{}\"", base64(&id));
    let id: &RawValue =
        serde_json::from_str(&id).map_err(|_| Refusal::invalid(CLIENT_ID[0], "is not a text"))?;
    request.0.push((CLIENT_ID[0].to_owned(), id));
    Ok(request.written())
}

/// The client id that an `Idempotency-Key` is. It is refused if it is none, even where the body's counts: whoever wrote it
/// relies on it.
fn key_of(key: &[u8]) -> Result<[u8; CLIENT_ID_BYTES], Refusal> {
    let text = std::str::from_utf8(key).unwrap_or_default().trim_matches('"');
    uuid(text).ok_or_else(|| Refusal::invalid("client_msg_id", "Idempotency-Key is not the text of a UUID"))
}

fn random_id() -> Result<[u8; CLIENT_ID_BYTES], Refusal> {
    let mut id = [0; CLIENT_ID_BYTES];
    getrandom::fill(&mut id).map_err(|error| {
        log::error!("the system's random source failed: {error}");
        Refusal::new(ErrorCode::Unavailable, "no randomness")
    })?;
    Ok(id)
}

/// The bytes of a UUID's text (RFC 9562): 8-4-4-4-12 hexadecimal digits.
fn uuid(text: &str) -> Option<[u8; CLIENT_ID_BYTES]> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lengths != [8, 4, 4, 4, 12] {
        return None;
    }
    let digits = groups.concat();
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let mut id = [0; CLIENT_ID_BYTES];
    for (byte, [high, low]) in id.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(id)
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::{
        Encoding,
        v1::{DeviceClass, LoginRequest, SendRequest},
        validate,
    };

    use super::{uuid, with_client_id, with_device};

    const TEXT: &str = "0190a5c2-7b31-7c4e-9f00-0123456789ab";

    fn id_of(body: Bytes) -> Vec<u8> {
        let send: SendRequest = Encoding::Json.decode(body).expect("a send");
        send.client_msg_id.to_vec()
    }

    #[test]
    fn a_uuid_is_read_as_its_bytes() {
        let id = uuid(TEXT).expect("a UUID");
        assert_eq!((id[0], id[15]), (0x01, 0xab));
        for wrong in [
            "",
            "0190a5c27b317c4e9f000123456789ab",
            "0190a5c2-7b31-7c4e-9f00-0123456789a",
            "0190a5c2-7b31-7c4e-9f00-0123456789ag",
            "0190a5c-27b31-7c4e-9f00-0123456789ab",
            "+190a5c2-7b31-7c4e-9f00-0123456789ab",
        ] {
            assert_eq!(uuid(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_client_id_may_be_a_uuid_or_a_key_or_absent() {
        let expected = uuid(TEXT).expect("a UUID").to_vec();
        for name in ["client_msg_id", "clientMsgId"] {
            let body = format!(r#"{{"{name}":"{TEXT}","conversation_id":"7"}}"#);
            let got = with_client_id(&body.into(), None).expect("a body");
            assert_eq!(id_of(got), expected);
        }
        let body = Bytes::from_static(br#"{"conversation_id":"7"}"#);
        for key in [TEXT.to_owned(), format!("\"{TEXT}\"")] {
            let got = with_client_id(&body, Some(key.as_bytes())).expect("a body");
            assert_eq!(id_of(got), expected);
        }
        let named: Bytes = format!(r#"{{"client_msg_id":"{TEXT}"}}"#).into();
        for body in [&body, &named] {
            assert!(with_client_id(body, Some(b"again")).is_err());
        }
        let [one, other] = [(); 2].map(|()| id_of(with_client_id(&body, None).expect("a body")));
        assert!(one.len() == 16 && one != other);
    }

    #[test]
    fn a_client_id_of_the_protocol_stays() {
        for body in [
            &br#"{"client_msg_id":"AAECAwQFBgcICQoLDA0ODw=="}"#[..],
            br#"{"client_msg_id":5}"#,
            br#"{"client_msg_id":"\ud800"}"#,
            b"[]",
            b"{",
        ] {
            let body = Bytes::copy_from_slice(body);
            assert_eq!(with_client_id(&body, None).expect("as it is"), body);
        }
    }

    #[test]
    fn no_request_has_so_many_fields() {
        let of = |count: usize| {
            let fields: Vec<String> = (0..count).map(|number| format!(r#""f{number}":1"#)).collect();
            Bytes::from(format!("{{{}}}", fields.join(",")))
        };
        let limits = validate::Limits::default();
        assert!(with_device(&of(super::FIELDS_MAX), &limits).is_ok());
        assert!(with_device(&of(super::FIELDS_MAX + 1), &limits).is_err());
        assert!(with_client_id(&of(super::FIELDS_MAX + 1), None).is_err());
    }

    #[test]
    fn a_login_may_name_its_device() {
        let limits = validate::Limits::default();
        let body =
            br#"{"name":"anna","password":"p","device":{"device_id":"phone","class":"DEVICE_CLASS_MOBILE"}}"#;
        let (rest, device) = with_device(&Bytes::from_static(body), &limits).expect("a device");
        assert_eq!(
            (device.device_id.as_str(), device.class()),
            ("phone", DeviceClass::Mobile)
        );
        let login: LoginRequest = Encoding::Json.decode(rest).expect("a login");
        assert_eq!((login.name.as_str(), login.password.as_str()), ("anna", "p"));

        let body = Bytes::from_static(br#"{"name":"anna"}"#);
        let [one, other] = [(); 2].map(|()| with_device(&body, &limits).expect("a script"));
        assert_eq!((one.0, one.1.class()), (body, DeviceClass::Script));
        assert_ne!(one.1.device_id, other.1.device_id);

        let bad = Bytes::from_static(br#"{"device":{"device_id":"a b"}}"#);
        let refusal = with_device(&bad, &limits).expect_err("a blank");
        assert_eq!(refusal.0.field, "device.device_id");
    }
}
