use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

type Words = Vec<Vec<u8>>;

/// What comes out of a stream: the commands, and the error that ended it.
type Outcome = (Vec<Words>, Option<ProtocolError>);

/// Decodes as the library does when the bytes arrive in these pieces.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (mut codec, mut held, mut commands) = (Resp::default(), Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        while !held.is_empty() {
            match codec.decode(&held) {
                Ok(Decoded::Frame { frame, used }) => {
                    commands.push(frame.arguments_from(0).map(<[u8]>::to_vec).collect());
                    held.drain(..used.get());
                }
                Ok(Decoded::Need { total }) => {
                    assert!(total.get() > held.len(), "asks for what it has");
                    break;
                }
                Err(Failed::Protocol(error)) => return (commands, Some(error)),
                Err(Failed::Reply(error)) => panic!("{error}"),
            }
        }
    }
    (commands, None)
}

fn whole(stream: &[u8]) -> Outcome {
    decode([stream])
}

fn array(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn words(text: &str) -> Words {
    text.split_whitespace()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

#[track_caller]
fn refused(stream: &[u8], error: &str) {
    let (commands, found) = whole(stream);
    assert_eq!(commands, Vec::<Words>::new());
    assert_eq!(found.map(|error| error.to_string()), Some(error.to_owned()));
}

#[test]
fn arrays_and_lines_are_commands() {
    let stream = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n  SET \t k  v \r\n*1\r\n$0\r\n\r\nQUIT\n";
    let expected = vec![
        words("GET k"),
        words("PING"),
        words("SET k v"),
        vec![Vec::new()],
        words("QUIT"),
    ];
    assert_eq!(whole(stream), (expected, None));
}

#[test]
fn empty_lines_and_arrays_are_commands_without_words() {
    assert_eq!(whole(b"\r\n*0\r\n*-1\r\n \n"), (vec![Vec::new(); 4], None));
}

#[test]
fn arguments_may_contain_anything() {
    let words = vec![b"\r\n*1\r\n".to_vec(), vec![0, 255, 13, 10]];
    assert_eq!(whole(&array(&words)), (vec![words], None));
}

#[test]
fn what_is_not_a_command_is_refused_at_its_first_wrong_byte() {
    refused(b"*x", "invalid multibulk length");
    refused(b"*\r", "invalid multibulk length");
    refused(b"*1\rx", "invalid multibulk length");
    refused(b"*1\r\n:", "expected '$', got ':'");
    refused(b"*1\r\n\r", "expected '$', got '\\r'");
    refused(b"*1\r\n$x", "invalid bulk length");
    refused(b"*1\r\n$-1\r\n", "invalid bulk length");
    refused(b"*1\r\n$1\r\nabc", "expected CRLF after a bulk string");
}

#[test]
fn what_is_too_long_is_refused_when_it_is_announced() {
    let arguments = |count: usize| format!("*{count}\r\n").into_bytes();
    assert_eq!(whole(&arguments(ARGUMENTS_MAX)), (Vec::new(), None));
    refused(&arguments(ARGUMENTS_MAX + 1), "invalid multibulk length");
    refused(b"*11111111111", "invalid multibulk length");

    let bulk = |length: usize| format!("*1\r\n${length}\r\n").into_bytes();
    assert_eq!(whole(&bulk(ARGUMENT_BYTES_MAX)), (Vec::new(), None));
    refused(&bulk(ARGUMENT_BYTES_MAX + 1), "invalid bulk length");
    refused(b"*1\r\n$11111111111", "invalid bulk length");

    let line = |length: usize| vec![b'a'; length];
    assert_eq!(whole(&line(INLINE_BYTES_MAX)), (Vec::new(), None));
    refused(&line(INLINE_BYTES_MAX + 1), "too big inline request");
    refused(
        &[line(INLINE_BYTES_MAX + 1), b"\n".to_vec()].concat(),
        "too big inline request",
    );
}

#[test]
fn a_command_of_allowed_arguments_can_be_too_long_in_all() {
    let long = vec![0; ARGUMENT_BYTES_MAX];
    let begin = [
        b"*2\r\n".to_vec(),
        format!("${ARGUMENT_BYTES_MAX}\r\n").into_bytes(),
        long,
        b"\r\n".to_vec(),
    ]
    .concat();
    let second = |length: usize| [&begin[..], format!("${length}\r\n").as_bytes()].concat();
    let room = COMMAND_BYTES_MAX - begin.len() - b"$12345678\r\n\r\n".len();
    assert_eq!(whole(&second(room)), (Vec::new(), None));
    refused(&second(room + 1), "too big command");
}

#[test]
fn the_bytes_of_an_argument_are_asked_for_at_once() {
    let mut codec = Resp::default();
    let Ok(Decoded::Need { total }) = codec.decode(b"*1\r\n$1000\r\nabc") else {
        panic!("a command out of nothing");
    };
    assert_eq!(total.get(), b"*1\r\n$1000\r\n".len() + 1000 + 2);
}

#[test]
fn nothing_is_kept_between_commands() {
    let mut codec = Resp::default();
    let stream = array(&words("GET key"));
    for end in 1..stream.len() {
        assert!(matches!(codec.decode(&stream[..end]), Ok(Decoded::Need { .. })));
        assert!(codec.progress.is_some());
    }
    assert!(matches!(codec.decode(&stream), Ok(Decoded::Frame { .. })));
    assert!(codec.progress.is_none());
}

/// Bytes that look like RESP more often than not.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(&b"*1\r\n"[..]),
        Just(&b"*2\r\n"[..]),
        Just(&b"$3\r\nGET\r\n"[..]),
        Just(&b"$0\r\n\r\n"[..]),
        Just(&b"$2\r\n"[..]),
        Just(&b"ab"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"PING x\n"[..]),
        Just(&b"-"[..]),
        Just(&b"\0"[..]),
    ];
    vec(part, 0..20).prop_map(|parts| parts.concat())
}

fn pieces<'a>(stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let (mut rest, mut sizes) = (stream, sizes.iter().cycle());
    std::iter::from_fn(move || {
        let size = *sizes.next()?;
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #[test]
    fn commands_are_the_same_however_they_are_cut(
        commands in vec(vec(vec(any::<u8>(), 0..20), 1..8), 0..5),
        sizes in vec(1..40_usize, 1..5),
    ) {
        let stream: Vec<u8> = commands.iter().flat_map(|words| array(words)).collect();
        prop_assert_eq!(decode(pieces(&stream, &sizes)), (commands, None));
    }

    #[test]
    fn errors_are_the_same_however_they_are_cut(
        stream in nearly_resp(),
        sizes in vec(1..10_usize, 1..5),
    ) {
        prop_assert_eq!(decode(pieces(&stream, &sizes)), whole(&stream));
    }

    #[test]
    fn no_bytes_do_harm(stream in vec(any::<u8>(), 0..200)) {
        whole(&stream);
    }
}
