//! Owns the fixed limits of the library: every queue, buffer and batch that is not configurable is bounded by
//! a constant here. Must never contain behaviour.
//!
//! They bound what a configuration can ask for, and tell how much memory to plan for:
//!
//! ```
//! use netcore::limits::{CONNECTIONS_PER_LOOP_MAX, LOOPS_MAX, READ_BUFFER_BYTES, SPARE_OUTBOX_BYTES_MAX};
//!
//! /// Checks the numbers of an operator before anything is started.
//! fn check(loops: usize, connections: usize) -> Result<(), String> {
//!     if !(1..=LOOPS_MAX).contains(&loops) {
//!         return Err(format!("loops: from 1 to {LOOPS_MAX}"));
//!     }
//!     let max = loops * CONNECTIONS_PER_LOOP_MAX;
//!     if connections > max { Err(format!("connections: at most {max}")) } else { Ok(()) }
//! }
//! assert!(check(4, 1_000_000).is_ok() && check(0, 10).is_err());
//! // The memory of four loops before the first connection, and the memory they keep of out-queues.
//! let bytes = 4 * (READ_BUFFER_BYTES + SPARE_OUTBOX_BYTES_MAX);
//! assert!(bytes < 6 * 1024 * 1024);
//! ```

use std::time::Duration;

/// Bytes of the one read buffer that all connections of a loop share.
pub const READ_BUFFER_BYTES: usize = 288 * 1024;

/// Bytes read at once while a loop holds more undecoded bytes than [`Limits::undecoded_bytes`] allows, so that
/// each further connection that has to be paused adds little.
///
/// [`Limits::undecoded_bytes`]: crate::Limits::undecoded_bytes
pub const READ_BYTES_UNDER_PRESSURE: usize = 4 * 1024;

/// Slices handed to one vectored write.
pub const WRITE_SLICES_MAX: usize = 64;

/// Vectored writes of one connection in one turn; the rest waits for the next turn.
pub const WRITES_PER_TURN_MAX: usize = 16;

/// Encoded frames up to this many bytes are always copied behind each other instead of taking a slice each.
pub const COALESCE_BYTES_MAX: usize = 256;

/// Encoded frames up to this many bytes are copied if something is queued before them: a slice of its own costs
/// the system more than the copy. Alone in the queue, and shared perhaps with many others, a frame is not copied.
pub const COALESCE_BEHIND_BYTES_MAX: usize = 2 * 1024;

/// The initial capacity of a chunk into which frames are encoded or copied, at least.
pub const TAIL_BYTES_MIN: usize = 512;

/// A chunk into which frames are encoded or copied takes no more once it holds this many bytes.
pub const TAIL_BYTES_MAX: usize = 64 * 1024;

/// A chunk into which frames are encoded or copied is grown, which copies it, up to this many bytes; a longer one
/// is closed, and another begun.
pub const TAIL_BYTES_COPIED_MAX: usize = 8 * 1024;

/// Bytes of memory that a loop keeps of out-queues that are empty, for the next connections that need one.
pub const SPARE_OUTBOX_BYTES_MAX: usize = 1024 * 1024;

/// A connection that has been read and has this many bytes queued is written to at once, others at the end of the
/// turn.
pub const WRITE_EARLY_BYTES: usize = 1024;

/// Bytes that the system keeps of a connection beyond those on their way to the peer. Without this limit it takes
/// megabytes for a peer that does not read, and no water mark counts them. Linux only.
pub const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Bytes that a partial frame reserves beyond those that have arrived, whatever length it declares.
pub const INBOX_RESERVE_BYTES_MAX: usize = 64 * 1024;

/// Length of one tick, the resolution of all deadlines.
pub const TICK: Duration = Duration::from_millis(50);

/// Slots of the timer wheel; later deadlines are revisited once per revolution.
pub const WHEEL_SLOTS: usize = 1024;

/// Wheel entries looked at in one turn.
pub const EXPIRIES_PER_TURN_MAX: usize = 4096;

/// Connections told of a drain in one turn.
pub const DRAIN_NOTICES_PER_TURN_MAX: usize = 1024;

/// Event loops of one server: a connection id has 8 bits for them.
pub const LOOPS_MAX: usize = 256;

/// Connections of one loop: an id has 24 bits for the slot, the last of which names listeners and the waker.
pub const CONNECTIONS_PER_LOOP_MAX: usize = (1 << 24) - 1;

/// Connections of one loop that are stored together: the table grows by this many at once.
pub const SLOTS_PER_CHUNK: usize = 1024;

/// Timers of one connection.
pub const TIMERS_PER_CONNECTION_MAX: usize = 64;

/// Groups of one connection.
pub const GROUPS_PER_CONNECTION_MAX: usize = 1024;

/// Bytes of a PROXY header, addresses and extensions included.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

/// What every TLS connection begins with: the type of a record that holds a part of a handshake (RFC 8446, 5.1).
pub const TLS_FIRST_BYTE: u8 = 0x16;

/// Bytes read together with the first one of a connection that may or may not speak TLS: they are held while it waits
/// for its turn of a handshake.
pub const FIRST_BYTES_MAX: usize = 4096;

/// Sources that the limits per source remember at the same time.
pub const SOURCES_REMEMBERED_MAX: usize = 128 * 1024;

/// Bytes that a TLS connection keeps encrypted but unwritten before more of its out-queue is encrypted.
pub const TLS_UNWRITTEN_BYTES_MAX: usize = 64 * 1024;

/// Commands of other threads to end connections, beyond the places for posts.
pub const CLOSES_MAX: usize = 4096;

/// Listening sockets of one server.
pub const LISTENERS_MAX: usize = 64;

/// Events fetched from the kernel at once.
pub const EVENTS_MAX: usize = 1024;

/// Accepted sockets waiting to be taken over by another loop, per loop.
pub const HANDOVER_MAX: usize = 1024;

/// Pause after an error of accept that concerns the whole process and not one connection.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// Queue of connections the kernel completes before they are accepted.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Longest sleep of a loop.
pub const SLEEP_MAX: Duration = Duration::from_secs(60);

/// How long a drain waits beyond its deadline for loops that do not answer.
pub const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Tasks of one key a worker runs before other keys get their turn.
pub const TASKS_PER_TURN_MAX: usize = if cfg!(loom) { 2 } else { 32 };

/// Time after which a worker begins no further task of a key before other keys get their turn.
pub const TURN_TIME_MAX: Duration = Duration::from_millis(1);

/// Largest lag of a group behind the others because of its used time: a longer task is charged no more.
pub const GROUP_DEBT_MAX: Duration = Duration::from_secs(2);

/// Groups without tasks whose debt a worker pool remembers.
pub const GROUPS_IN_DEBT_MAX: usize = 4096;

/// Threads of one worker pool.
pub const WORKER_THREADS_MAX: usize = 1024;

/// Pause before a worker that could not be rebuilt tries again.
pub const WORKER_REBUILD_RETRY: Duration = Duration::from_millis(200);

const _: () = assert!(CONNECTIONS_PER_LOOP_MAX >= 16_000_000);
const _: () = assert!(READ_BYTES_UNDER_PRESSURE <= READ_BUFFER_BYTES);
const _: () = assert!(COALESCE_BYTES_MAX < COALESCE_BEHIND_BYTES_MAX);
const _: () = assert!(COALESCE_BEHIND_BYTES_MAX < TAIL_BYTES_MAX);
const _: () = assert!(TICK.as_millis() > 0);
