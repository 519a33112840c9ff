//! The shell around [`Link`]: one thread that drives it and writes, one per connection that reads.
//!
//! It owns the socket, the clock and the queues between the threads. It must never decide anything about
//! the protocol.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    thread,
    time::Instant,
};

use bytes::BytesMut;
use crossbeam_channel::{Receiver, Select, Sender, bounded};
use protocol::{Frame, FrameCodec, HEADER_BYTES, Reply, Request, Split, limits::FRAME_BYTES_MAX};

use crate::{
    error::Error,
    link::{Action, Event, Identity, Link},
    servers::{ServerAddress, Servers},
    stream::{self, Reader, Stream},
    trust::Trust,
};

/// Orders from callers that wait for the driving thread, at most.
pub(crate) const ORDERS_MAX: usize = 64;
/// Frames that were read and not yet handled.
const FRAMES_MAX: usize = 16;
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// The receiver of a request's result.
#[derive(Debug)]
pub(crate) enum Sink {
    /// To the thread that waits for it.
    Caller(Sender<Result<Reply, Error>>),
    /// Among the events, under this tag.
    Events(u64),
}

/// What callers ask of the driving thread.
#[derive(Debug)]
pub(crate) enum Order {
    Submit {
        sink: Sink,
        request: Box<Request>,
        deadline: Instant,
    },
    /// Close the connection and connect again: the server contradicted itself.
    Reconnect(String),
}

/// The connection that a frame or an end belongs to.
type Generation = u64;

#[derive(Debug)]
enum Incoming {
    Frame(Frame),
    End(String),
}

/// Drives a link until all callers are gone.
#[derive(Debug)]
pub(crate) struct Driver {
    link: Link,
    servers: Servers,
    trust: Trust,
    /// Made when it is needed first: to read the system's authorities takes a while.
    tls: Option<Arc<rustls::ClientConfig>>,
    orders: Receiver<Order>,
    events: Option<Sender<Event>>,
    /// Events that found the queue full. While there is one, nothing is read.
    pending: VecDeque<Event>,
    frames: Receiver<(Generation, Incoming)>,
    /// Given to each connection's reader.
    frame_queue: Sender<(Generation, Incoming)>,
    generation: Generation,
    stream: Option<Stream>,
    sinks: HashMap<u64, Sink>,
    last_ticket: u64,
}

/// What woke the driver.
enum Wake {
    Order(Order),
    CallersGone,
    Incoming(Generation, Incoming),
    EventTaken,
    EventsGone,
    Timeout,
}

impl Driver {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system allows no more threads.
    pub(crate) fn spawn(
        servers: Servers,
        trust: Trust,
        identity: Identity,
        seed: u64,
        orders: Receiver<Order>,
        events: Sender<Event>,
    ) -> std::io::Result<()> {
        let (frame_queue, frames) = bounded(FRAMES_MAX);
        let mut driver = Self {
            link: Link::new(identity, seed, Instant::now()),
            servers,
            trust,
            tls: None,
            orders,
            events: Some(events),
            pending: VecDeque::new(),
            frames,
            frame_queue,
            generation: 0,
            stream: None,
            sinks: HashMap::new(),
            last_ticket: 0,
        };
        thread::Builder::new()
            .name("im-client".to_owned())
            .spawn(move || driver.run())
            .map(drop)
    }

    fn run(&mut self) {
        self.link.start();
        loop {
            self.act();
            let wake = self.wait();
            let now = Instant::now();
            match wake {
                Wake::Order(order) => self.obey(order, now),
                Wake::CallersGone => {
                    self.link.close();
                    self.act();
                    return;
                }
                Wake::Incoming(generation, incoming) if generation == self.generation => match incoming {
                    Incoming::Frame(frame) => self.link.handle_frame(frame, now),
                    Incoming::End(reason) => {
                        self.close_stream();
                        self.link.handle_closed(&reason, now);
                    }
                },
                Wake::Incoming(..) | Wake::EventTaken | Wake::Timeout => {}
                Wake::EventsGone => {
                    self.events = None;
                    self.pending.clear();
                }
            }
            self.link.set_reading(self.pending.is_empty(), now);
            if self.link.next_timeout().is_some_and(|at| at <= now) {
                self.link.handle_timeout(now);
            }
        }
    }

    /// Waits for the inputs that the state allows: orders while there is room for one, frames while the program takes
    /// the resulting events.
    fn wait(&mut self) -> Wake {
        let mut select = Select::new();
        let orders = self.link.has_room().then(|| select.recv(&self.orders));
        let events = self.events.as_ref().filter(|_| !self.pending.is_empty());
        let event_index = events.map(|events| select.send(events));
        if event_index.is_none() {
            select.recv(&self.frames);
        }
        let operation = match self.link.next_timeout() {
            Some(at) => match select.select_deadline(at) {
                Ok(operation) => operation,
                Err(_) => return Wake::Timeout,
            },
            None => select.select(),
        };
        let index = operation.index();
        if Some(index) == orders {
            return operation
                .recv(&self.orders)
                .map_or(Wake::CallersGone, Wake::Order);
        }
        if Some(index) == event_index
            && let Some(events) = events
        {
            // The front is there: a send is only selected while something is pending.
            let Some(event) = self.pending.pop_front() else {
                return Wake::Timeout;
            };
            return operation
                .send(events, event)
                .map_or(Wake::EventsGone, |()| Wake::EventTaken);
        }
        match operation.recv(&self.frames) {
            Ok((generation, incoming)) => Wake::Incoming(generation, incoming),
            // This thread holds a sender itself.
            Err(_) => Wake::Timeout,
        }
    }

    fn obey(&mut self, order: Order, now: Instant) {
        match order {
            Order::Submit {
                sink,
                request,
                deadline,
            } => {
                self.last_ticket += 1;
                self.sinks.insert(self.last_ticket, sink);
                self.link.submit(self.last_ticket, *request, deadline, now);
            }
            Order::Reconnect(reason) => {
                self.close_stream();
                self.link.handle_closed(&reason, now);
            }
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.link.next_action() {
            match action {
                Action::Connect { preferred } => self.connect(&preferred),
                Action::Send(frame) => self.send(&frame),
                Action::Close => self.close_stream(),
                Action::Complete { ticket, result } => self.complete(ticket, result),
                Action::Event(event) => self.emit(event),
            }
        }
    }

    fn connect(&mut self, preferred: &[String]) {
        let (mut reason, mut is_distrust) = (String::new(), true);
        for address in self.servers.to_try(preferred, Instant::now()) {
            if address.tls && self.tls.is_none() {
                match self.trust.config() {
                    Ok(config) => self.tls = Some(config),
                    Err(why) => {
                        reason = why;
                        continue;
                    }
                }
            }
            match self.open(&address) {
                Ok(stream) => {
                    self.servers.reached(&address);
                    self.stream = Some(stream);
                    return self.link.handle_connected(Instant::now());
                }
                Err(error) => {
                    self.servers.failed(&address, Instant::now());
                    is_distrust &= stream::is_distrust(&error);
                    reason = format!("{address}: {error}");
                }
            }
        }
        if is_distrust && !reason.is_empty() {
            self.link.handle_untrusted(&reason, Instant::now());
        } else {
            self.link.handle_closed(&reason, Instant::now());
        }
    }

    fn open(&mut self, address: &ServerAddress) -> std::io::Result<Stream> {
        let stream = Stream::open(address, self.tls.as_ref())?;
        self.read_from(&stream)?;
        Ok(stream)
    }

    fn read_from(&mut self, stream: &Stream) -> std::io::Result<()> {
        self.generation += 1;
        let generation = self.generation;
        let frames = self.frame_queue.clone();
        let stream = stream.reader();
        thread::Builder::new()
            .name("im-client-read".to_owned())
            .spawn(move || read_frames(stream, generation, &frames))
            .map(drop)
    }

    fn send(&mut self, frame: &Frame) {
        let Some(stream) = &self.stream else { return };
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + frame.body.len());
        let written = frame
            .encode(&mut bytes)
            .map_err(|error| error.to_string())
            .and_then(|()| stream.write_all(&bytes).map_err(|error| error.to_string()));
        if let Err(reason) = written {
            self.close_stream();
            self.link.handle_closed(&reason, Instant::now());
        }
    }

    fn close_stream(&mut self) {
        // Whatever its reader still has to say is of an old generation from here on.
        self.generation += 1;
        if let Some(stream) = self.stream.take() {
            stream.shut_down();
        }
    }

    fn complete(&mut self, ticket: u64, result: Result<Reply, Error>) {
        match self.sinks.remove(&ticket) {
            // A caller that no longer waits has its answer already: the deadline.
            Some(Sink::Caller(caller)) => drop(caller.try_send(result)),
            Some(Sink::Events(tag)) => self.emit(Event::Reply { tag, result }),
            None => {}
        }
    }

    fn emit(&mut self, event: Event) {
        if self.events.is_some() {
            self.pending.push_back(event);
        }
    }
}

/// Reads until the connection ends or its frames have no receiver any more.
fn read_frames(mut stream: Reader, generation: Generation, frames: &Sender<(Generation, Incoming)>) {
    let codec = FrameCodec::new(FRAME_BYTES_MAX);
    let mut chunk = vec![0; READ_BYTES];
    let mut buffer = BytesMut::new();
    let reason = loop {
        let read = match stream.read(&mut chunk) {
            Ok(0) => break "the server closed the connection".to_owned(),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => break error.to_string(),
        };
        buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        loop {
            match codec.split(&buffer) {
                Ok(Split::Need(_)) => break,
                Ok(Split::Frame(frame)) => {
                    let _ = buffer.split_to(HEADER_BYTES + frame.body.len());
                    if frames.send((generation, Incoming::Frame(frame))).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    // Whoever drives has gone when this fails.
                    let _ = frames.send((generation, Incoming::End(error.to_string())));
                    return;
                }
            }
        }
    };
    let _ = frames.send((generation, Incoming::End(reason)));
}
