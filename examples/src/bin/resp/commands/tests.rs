use super::*;
use crate::codec::Resp;
use crate::reply::{ReplyTooLong, Version};
use bytes::BytesMut;
use netcore::codec::{Codec, Decoded};
use std::time::Duration;

/// A store, and a clock that the test moves.
struct World {
    store: Store,
    now: Instant,
    version: Version,
}

impl World {
    fn new() -> Self {
        Self {
            version: Version::Two,
            store: Store::new(usize::MAX),
            now: Instant::now(),
        }
    }

    fn ask(&mut self, line: &str) -> String {
        let line = format!("{line}\r\n");
        let Ok(Decoded::Frame { frame, .. }) = Resp::default().decode(line.as_bytes()) else {
            panic!("not a command: {line}");
        };
        let mut context = Context {
            store: &mut self.store,
            now: self.now,
        };
        let mut reply = BytesMut::new();
        run(&mut context, &frame)
            .encode(self.version, &mut reply)
            .expect("a short reply");
        String::from_utf8(reply.to_vec()).expect("text")
    }

    /// Runs lines of `command => reply`, in which a space of the reply stands for the end of a line.
    #[track_caller]
    fn script(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, expected) = line.split_once(" => ").expect("a command and a reply");
            let reply = self.ask(command).replace("\r\n", " ");
            assert_eq!(reply.trim_end(), expected, "{command}");
        }
    }
}

#[test]
fn strings() {
    World::new().script(
        "GET k => $-1
         SET k v => +OK
         get k => $1 v
         SET k w NX => $-1
         SET k w xx => +OK
         SET x w XX => $-1
         MSET a 1 b 2 => +OK
         MGET a x b => *3 $1 1 $-1 $1 2
         EXISTS a a x => :2
         DEL a a x => :1
         INCR n => :1
         INCRBY n 41 => :42
         DECR n => :41
         GET n => $2 41
         INCRBY n -42 => :-1
         TYPE n => +string
         TYPE x => +none
         DBSIZE => :3
         FLUSHALL => +OK
         DBSIZE => :0",
    );
}

#[test]
fn numbers_do_not_overflow_and_are_written_in_one_way() {
    let mut world = World::new();
    world.script(
        "SET n 9223372036854775807 => +OK
         INCR n => -ERR increment or decrement would overflow
         DECR n => :9223372036854775806
         SET n -9223372036854775808 => +OK
         DECR n => -ERR increment or decrement would overflow",
    );
    for text in ["+1", "01", "-0", "1.0", "x", "9223372036854775808"] {
        world.script(&format!(
            "SET n {text} => +OK
             INCR n => -ERR value is not an integer or out of range
             INCRBY m {text} => -ERR value is not an integer or out of range"
        ));
    }
}

#[test]
fn lists() {
    World::new().script(
        "RPUSH l b c => :2
         LPUSH l a z => :4
         LRANGE l 0 -1 => *4 $1 z $1 a $1 b $1 c
         LRANGE l 1 2 => *2 $1 a $1 b
         LRANGE l -2 -1 => *2 $1 b $1 c
         LRANGE l -100 0 => *1 $1 z
         LRANGE l 3 100 => *1 $1 c
         LRANGE l 4 100 => *0
         LRANGE l 2 1 => *0
         LRANGE l 0 -5 => *0
         LRANGE l 0 9223372036854775807 => *4 $1 z $1 a $1 b $1 c
         LRANGE l -9223372036854775808 -2 => *3 $1 z $1 a $1 b
         LRANGE x 0 -1 => *0
         LLEN l => :4
         LPOP l => $1 z
         LPOP l 0 => *0
         LPOP l 2 => *2 $1 a $1 b
         LPOP l -1 => -ERR value is out of range, must be positive
         LPOP l 9 => *1 $1 c
         LPOP l => $-1
         LPOP l 9 => *-1
         EXISTS l => :0
         LLEN l => :0",
    );
}

#[test]
fn sets_and_hashes() {
    let mut world = World::new();
    world.script(
        "SADD s a a => :1
         SADD s a => :0
         SMEMBERS s => *1 $1 a
         SADD s b c => :2
         SCARD s => :3
         SCARD x => :0
         SMEMBERS x => *0
         HSET h f 1 => :1
         HSET h f 2 => :0
         HGET h f => $1 2
         HGET h x => $-1
         HGET x f => $-1
         HGETALL h => *2 $1 f $1 2
         HSET h f 3 g 4 => :1
         HGETALL x => *0
         TYPE s => +set
         TYPE h => +hash",
    );
    let members = world.ask("SMEMBERS s");
    for member in ["a", "b", "c"] {
        assert!(members.contains(&format!("$1\r\n{member}\r\n")), "{members}");
    }
}

#[test]
fn expiry() {
    let mut world = World::new();
    world.script(
        "SET k v EX 10 => +OK
         TTL k => :10
         SET k v => +OK
         TTL k => :-1
         TTL x => :-2
         EXPIRE x 1 => :0
         EXPIRE k 5 => :1
         INCR n => :1
         EXPIRE n 5 => :1
         INCR n => :2
         TTL n => :5
         SET p v PX 1500 => +OK
         TTL p => :2
         SET q v EX 5 => +OK
         SET q w KEEPTTL => +OK
         TTL q => :5",
    );
    world.now += Duration::from_secs(4);
    world.script("GET p => $-1\nGET k => $1 v\nTTL n => :1");
    world.now += Duration::from_secs(1);
    world.script(
        "GET k => $-1
         EXISTS k n q => :0
         INCR n => :1
         SET k v => +OK
         SET k w NX => $-1
         EXPIRE k 0 => :1
         SET k w NX => +OK
         EXPIRE k -1 => :1
         EXISTS k => :0",
    );
}

#[test]
fn times_that_cannot_be() {
    let far = i64::MAX;
    World::new().script(&format!(
        "SET k v EX 0 => -ERR invalid expire time in 'set' command
         SET k v PX -1 => -ERR invalid expire time in 'set' command
         SET k v EX {far} => -ERR invalid expire time in 'set' command
         EXISTS k => :0
         SET k v => +OK
         EXPIRE k {far} => -ERR invalid expire time in 'expire' command
         EXPIRE k x => -ERR value is not an integer or out of range"
    ));
}

#[test]
fn options_that_contradict_each_other() {
    World::new().script(
        "SET k v NX XX => -ERR syntax error
         SET k v EX 1 PX 1 => -ERR syntax error
         SET k v EX 1 KEEPTTL => -ERR syntax error
         SET k v EX => -ERR syntax error
         SET k v EX x => -ERR value is not an integer or out of range
         SET k v NO => -ERR syntax error
         EXISTS k => :0",
    );
}

#[test]
fn values_of_another_type() {
    let mut world = World::new();
    world.script("SET t v => +OK\nRPUSH l a => :1\nSADD s a => :1\nHSET h f v => :1");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for command in [
        "GET l",
        "INCR s",
        "LPUSH t a",
        "LPOP h",
        "LLEN s",
        "LRANGE t 0 -1",
        "SADD l a",
        "SMEMBERS h",
        "SCARD t",
        "HSET s f v",
        "HGET l f",
        "HGETALL t",
    ] {
        world.script(&format!("{command} => {wrong}"));
    }
    world.script("MGET l t => *2 $-1 $1 v\nSET l v => +OK\nGET l => $1 v");
}

#[test]
fn too_few_and_too_many_arguments() {
    let mut world = World::new();
    for command in [
        "GET",
        "GET a b",
        "SET a",
        "MSET a",
        "MSET a 1 b",
        "MGET",
        "DEL",
        "EXISTS",
        "INCR",
        "DECR a b",
        "INCRBY a",
        "EXPIRE a",
        "TTL",
        "TYPE",
        "LPUSH a",
        "RPUSH a",
        "LRANGE a 1",
        "LPOP",
        "LPOP a 1 2",
        "LLEN",
        "SADD a",
        "SMEMBERS",
        "SCARD",
        "HSET a f",
        "HSET a f v g",
        "HGET a",
        "HGETALL",
        "ECHO",
        "PING a b",
        "SELECT",
        "CONFIG",
        "DBSIZE a",
    ] {
        let name = command.split(' ').next().expect("a name").to_lowercase();
        world.script(&format!(
            "{command} => -ERR wrong number of arguments for '{name}' command"
        ));
    }
    assert_eq!(world.store.len(), 0);
}

#[test]
fn commands_that_do_not_exist() {
    let mut world = World::new();
    world.script(
        "NOPE a b => -ERR unknown command 'NOPE', with args beginning with: 'a' 'b'
         CONFIG SET a b => -ERR unknown subcommand 'SET'",
    );
    let long = "x".repeat(5_000);
    assert!(world.ask(&format!("{long} {long} {long}")).len() < 500);
}

#[test]
fn the_server() {
    let mut world = World::new();
    world.script(
        "PING => +PONG
         PING x => $1 x
         ECHO hello => $5 hello
         SELECT 0 => +OK
         SELECT 1 => -ERR DB index is out of range
         FLUSHDB ASYNC => +OK
         FLUSHDB x => -ERR syntax error
         CONFIG GET save => *2 $4 save $0
         CONFIG GET nothing => *0
         CONFIG GET => -ERR wrong number of arguments for 'config|get' command
         COMMAND DOCS => *0
         QUIT => +OK",
    );
    assert!(world.ask("INFO").contains("db0:keys=0,expires=0\r\n"));
}

#[test]
fn a_full_store_takes_nothing_but_can_be_emptied() {
    let mut world = World::new();
    world.store = Store::new(1);
    let full = "-OOM command not allowed when used memory > 'maxmemory'.";
    world.script("SET k v => +OK");
    for command in [
        "SET k v",
        "MSET k v",
        "INCR k",
        "LPUSH l a",
        "SADD s a",
        "HSET h f v",
    ] {
        world.script(&format!("{command} => {full}"));
    }
    world.script("GET k => $1 v\nDEL k => :1\nSET k v => +OK");
}

#[test]
fn what_is_left_counts_as_if_nothing_else_had_been_there() {
    for (commands, same) in [
        ("RPUSH k a bb\nLPOP k", "RPUSH k bb"),
        ("RPUSH k a\nLPOP k", "GET k"),
        ("SADD k a\nSADD k a b", "SADD k a b"),
        ("HSET k f a g b\nHSET k f long", "HSET k f long g b"),
        ("SET k long\nSET k a", "SET k a"),
        ("HSET k f a\nSET k a", "SET k a"),
        ("INCR k\nDEL k", "GET k"),
    ] {
        let bytes = [commands, same].map(|lines| {
            let mut world = World::new();
            for line in lines.lines() {
                world.ask(line);
            }
            world.store.bytes()
        });
        assert_eq!(bytes[0], bytes[1], "{commands}");
    }
}

#[test]
fn a_reply_that_repeats_what_was_sent_stays_one_line() {
    let failure = Failure::UnknownSubcommand("a\r\n+OK".to_owned());
    let mut bytes = BytesMut::new();
    Reply::Failure(failure)
        .encode(Version::Two, &mut bytes)
        .expect("a short reply");
    assert_eq!(&bytes[..], b"-ERR unknown subcommand 'a  +OK'\r\n");
}

#[test]
fn a_reply_has_a_limit() {
    let long: crate::store::Shared = vec![0; REPLY_BYTES_MAX / 4].into();
    let reply = |count: usize| Reply::Array(vec![Some(long.clone()); count]);
    assert_eq!(reply(3).encode(Version::Two, &mut BytesMut::new()), Ok(()));
    assert_eq!(
        reply(4).encode(Version::Two, &mut BytesMut::new()),
        Err(ReplyTooLong)
    );
}

#[test]
fn sorted_sets() {
    World::new().script(
        "ZADD z 2 b 1 a 1.5 c => :3
         ZADD z 3 b -0 d => :1
         ZADD z x e => -ERR value is not a valid float
         ZADD z nan e => -ERR value is not a valid float
         ZADD z 1 => -ERR wrong number of arguments for 'zadd' command
         ZADD z 1 a 2 => -ERR wrong number of arguments for 'zadd' command
         ZCARD z => :4
         ZSCORE z b => $1 3
         ZSCORE z x => $-1
         TYPE z => +zset
         ZPOPMIN z => *2 $1 d $1 0
         ZPOPMIN z 2 => *4 $1 a $1 1 $1 c $3 1.5
         ZPOPMIN z 9 => *2 $1 b $1 3
         ZPOPMIN z => *0
         EXISTS z => :0
         GET z => $-1
         SET t v => +OK
         ZADD t 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

#[test]
fn members_and_items_are_taken_out() {
    let mut world = World::new();
    world.script(
        "RPUSH l a b c => :3
         RPOP l => $1 c
         RPOP l 5 => *2 $1 b $1 a
         RPOP l => $-1
         RPOP l 1 => *-1
         SADD s a => :1
         SPOP s => $1 a
         SPOP s => $-1
         SPOP s 2 => *0
         SPOP s -1 => -ERR value is out of range, must be positive",
    );
    assert_eq!((world.store.len(), world.store.bytes()), (0, 0));
}

#[test]
fn clients_begin_with_hello() {
    let mut world = World::new();
    assert!(world.ask("HELLO").starts_with("*14\r\n$6\r\nserver\r\n"));
    assert!(world.ask("hello 2 setname me").contains("$5\r\nproto\r\n:2\r\n"));
    world.version = Version::Three;
    let hello = world.ask("HELLO 3 AUTH default secret");
    assert!(hello.starts_with("%7\r\n") && hello.contains("$5\r\nproto\r\n:3\r\n"));
    world.script(
        "HELLO 4 => -NOPROTO unsupported protocol version
         HELLO three => -NOPROTO unsupported protocol version
         HELLO 3 AUTH me => -ERR syntax error
         HELLO 3 NAME me => -ERR syntax error
         CLIENT SETINFO LIB-NAME x => +OK
         CLIENT KILL x => -ERR unknown subcommand 'KILL'
         GET x => _
         LPOP x 1 => _
         MSET a 1 => +OK
         MGET a x => *2 $1 1 _
         HSET h f v => :1
         HGETALL h => %1 $1 f $1 v
         SADD s m => :1
         SMEMBERS s => ~1 $1 m
         ZADD z 1.5 a 2 b 3 c => :3
         ZPOPMIN z => *2 $1 a ,1.5
         ZPOPMIN z 2 => *2 *2 $1 b ,2 *2 $1 c ,3
         CONFIG GET save => %1 $4 save $0",
    );
}
