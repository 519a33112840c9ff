//! Hints between nodes: by channels or by streams, each with a counter by which a receiver sees that one is missing.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{RedisResult, Script};

use super::link::{Link, Repeatable, random};
use super::{HintsBy, Remote, STATE_TTL, milliseconds};
use crate::ephemeral::contract::{HintTarget, Hints};
use crate::ephemeral::queue::{self, HintReceiver, HintSender};

/// How often a subscription checks whether its receiver still exists.
const LOOK: Duration = Duration::from_secs(1);

/// Pauses before connecting again, twice as long each time, with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Entries of a stream in one read, at most.
const BATCH_HINTS: usize = 128;

/// Keys: the counter. Arguments: the channel, the hint, the counter's TTL.
static PUBLISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local number = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PUBLISH', ARGV[1], number .. ':' .. ARGV[2])
return 1
",
    )
});

/// Keys: the counter, the stream. Arguments: how long the stream may be, the hint, the TTL.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local number = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'hint', number .. ':' .. ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
",
    )
});

impl Hints for Remote {
    fn publish(&self, target: HintTarget<'_>, bytes: &[u8], now: Instant) -> bool {
        if bytes.len() > self.limits.hint_bytes_max {
            return false;
        }
        let place = match target {
            HintTarget::Node(node) => self.place_of(node),
            HintTarget::All => self.place_of_all(),
        };
        let counter = format!("{place}:count");
        let done: Option<u8> = match self.hints_by {
            HintsBy::PubSub => {
                let mut call = PUBLISH.prepare_invoke();
                call.key(counter)
                    .arg(place)
                    .arg(bytes)
                    .arg(milliseconds(STATE_TTL));
                self.link.call(now, Repeatable::No, |link| call.invoke(link))
            }
            HintsBy::Streams => {
                let mut call = ADD.prepare_invoke();
                call.key(counter)
                    .key(place)
                    .arg(self.limits.hints_max)
                    .arg(bytes)
                    .arg(milliseconds(STATE_TTL));
                self.link.call(now, Repeatable::No, |link| call.invoke(link))
            }
        };
        done.is_some()
    }

    fn subscribe(&self, node: &str) -> HintReceiver {
        let (sender, receiver) = queue::queue(self.limits.hints_max, self.limits.hints_bytes_max);
        let places = [self.place_of(node), self.place_of_all()];
        let subscription = Subscription {
            link: Arc::clone(&self.link),
            sender,
            flows: places.map(Flow::new),
        };
        let by = self.hints_by;
        let spawned = std::thread::Builder::new()
            .name("hints".to_owned())
            .spawn(move || subscription.run(by));
        if let Err(error) = spawned {
            log::error!(
                "no thread for hints between nodes, which come with the latency of the commit tail: {error}"
            );
        }
        receiver
    }
}

impl Remote {
    fn place_of(&self, node: &str) -> String {
        self.key("hints", &format!("node:{node}"))
    }

    fn place_of_all(&self) -> String {
        self.key("hints", "all")
    }
}

/// The thread that receives hints.
struct Subscription {
    link: Arc<Link>,
    sender: HintSender,
    flows: [Flow; 2],
}

/// One channel or stream.
struct Flow {
    place: String,
    /// The number of the newest hint.
    number: Option<u64>,
    /// The newest entry of the stream that was read.
    entry: Option<String>,
}

impl Flow {
    const fn new(place: String) -> Self {
        Self {
            place,
            number: None,
            entry: None,
        }
    }

    /// Takes a hint, and marks a loss if it does not follow the previous one.
    fn take(&mut self, value: &[u8], sender: &HintSender) {
        let Some((number, bytes)) = numbered(value) else {
            sender.lose();
            return;
        };
        // Without a previous hint there is no gap to detect: the start of the connection was marked as a loss.
        if self
            .number
            .is_some_and(|before| before.checked_add(1) != Some(number))
        {
            sender.lose();
        }
        self.number = Some(number);
        sender.send(Bytes::copy_from_slice(bytes));
    }
}

/// The number and what follows the colon.
fn numbered(value: &[u8]) -> Option<(u64, &[u8])> {
    let colon = value.iter().position(|byte| *byte == b':')?;
    let (number, rest) = value.split_at_checked(colon)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest.get(1..)?))
}

impl Subscription {
    fn run(mut self, by: HintsBy) {
        let mut pause = PAUSE_MIN;
        while !self.sender.is_closed() {
            let began = Instant::now();
            let ended = match by {
                HintsBy::PubSub => self.listen(),
                HintsBy::Streams => self.read(),
            };
            match ended {
                Ok(()) => return,
                Err(error) => self.link.note(&error),
            }
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            let jittered = pause.mul_f64(0.5 + f64::from(random()) / f64::from(u32::MAX));
            if self.sender.wait_closed(jittered) {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Runs until the receiver is gone or the connection fails.
    fn listen(&mut self) -> RedisResult<()> {
        let mut connection = self.link.connect()?;
        connection.set_read_timeout(Some(LOOK))?;
        let mut channels = connection.as_pubsub();
        for flow in &mut self.flows {
            channels.subscribe(&flow.place)?;
            flow.number = None;
        }
        // Hints may have been sent before.
        self.sender.lose();
        while !self.sender.is_closed() {
            match channels.get_message() {
                Ok(message) => {
                    let channel = message.get_channel_name();
                    let flow = self.flows.iter_mut().find(|flow| flow.place == channel);
                    if let Some(flow) = flow {
                        flow.take(message.get_payload_bytes(), &self.sender);
                    }
                }
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> RedisResult<()> {
        let mut connection = self.link.connect()?;
        // Longer than Redis itself waits in this call.
        connection.set_read_timeout(Some(LOOK * 3))?;
        if self.flows.iter().any(|flow| flow.entry.is_none()) {
            for flow in &mut self.flows {
                let newest: StreamRangeReply = redis::cmd("XREVRANGE")
                    .arg(&flow.place)
                    .arg("+")
                    .arg("-")
                    .arg("COUNT")
                    .arg(1)
                    .query(&mut connection)?;
                let newest = newest.ids.into_iter().next();
                flow.entry = Some(newest.map_or_else(|| "0-0".to_owned(), |entry| entry.id));
            }
            self.sender.lose();
        }
        while !self.sender.is_closed() {
            let mut ask = redis::cmd("XREAD");
            ask.arg("COUNT")
                .arg(BATCH_HINTS)
                .arg("BLOCK")
                .arg(milliseconds(LOOK))
                .arg("STREAMS");
            for flow in &self.flows {
                ask.arg(&flow.place);
            }
            for flow in &self.flows {
                ask.arg(flow.entry.as_deref().unwrap_or("0-0"));
            }
            let answer: Option<StreamReadReply> = ask.query(&mut connection)?;
            for stream in answer.into_iter().flat_map(|answer| answer.keys) {
                let Some(flow) = self.flows.iter_mut().find(|flow| flow.place == stream.key) else {
                    continue;
                };
                for entry in stream.ids {
                    let hint: Option<Vec<u8>> = entry.get("hint");
                    flow.take(&hint.unwrap_or_default(), &self.sender);
                    flow.entry = Some(entry.id);
                }
            }
        }
        Ok(())
    }
}
