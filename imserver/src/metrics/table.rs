//! The table of metrics: one row for each, and the only list of them. Names and labels are final: dashboards and alerts
//! depend on them. A label has few values that are known beforehand; none ever names a user, an address or a
//! conversation. `docs/OPERATIONS.md` has the same table, and a test compares the two.

/// What a metric does over time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    /// A sentence, as it is shown beside the values.
    pub(super) help: &'static str,
}

macro_rules! table {
    ($($(#[doc = $help:literal])+ $metric:ident = $kind:ident $name:literal {$($label:ident),*};)+) => {
        $(
            $(#[doc = $help])+
            pub(super) const $metric: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$(stringify!($label)),*],
                help: concat!($($help),+).trim_ascii(),
            };
        )+

        /// All of them, in the order in which they are shown.
        #[cfg(test)]
        pub(super) const ALL: &[&Metric] = &[$(&$metric),+];
    };
}

table! {
    /// Connections now, with those that have no session.
    CONNECTIONS = Gauge "imserver_connections" {};
    /// Sessions that are connected now.
    SESSIONS = Gauge "imserver_sessions" {};
    /// Connections whose first frame could be read.
    CONNECTIONS_OPENED = Counter "imserver_connections_opened_total" {};
    /// Connections that were opened and have ended, by the door that they came through: native, http, websocket.
    CONNECTIONS_CLOSED = Counter "imserver_connections_closed_total" {door, reason};
    /// Connections that were closed before they were opened.
    CONNECTIONS_REFUSED = Counter "imserver_connections_refused_total" {reason};

    /// Bytes received from peers, before decryption.
    RECEIVED_BYTES = Counter "imserver_received_bytes_total" {};
    /// Bytes sent to peers, after encryption.
    SENT_BYTES = Counter "imserver_sent_bytes_total" {};
    /// Frames received.
    RECEIVED_FRAMES = Counter "imserver_received_frames_total" {};
    /// Frames queued for peers.
    SENT_FRAMES = Counter "imserver_sent_frames_total" {};
    /// Calls that read from a socket.
    SOCKET_READS = Counter "imserver_socket_reads_total" {};
    /// Calls that wrote to a socket.
    SOCKET_WRITES = Counter "imserver_socket_writes_total" {};
    /// Bytes received that are not a whole frame yet.
    UNDECODED_BYTES = Gauge "imserver_undecoded_bytes" {};
    /// Bytes that wait for peers to take them.
    QUEUED_BYTES = Gauge "imserver_queued_bytes" {};

    /// Turns of the event loops.
    LOOP_TURNS = Counter "imserver_loop_turns_total" {};
    /// Time that the event loops worked, all together; one loop can work for a second a second.
    LOOP_WORK = Counter "imserver_loop_work_seconds_total" {};
    /// Time that one turn of an event loop took.
    LOOP_TURN = Histogram "imserver_loop_turn_seconds" {};
    /// How late an event loop was for what it had to do at a certain time.
    LOOP_LAG = Histogram "imserver_loop_lag_seconds" {};
    /// Messages of other threads that the event loops handled.
    LOOP_MESSAGES = Counter "imserver_loop_messages_total" {};

    /// Requests that were answered, by what became of them: ok, or the error code.
    REQUESTS = Counter "imserver_requests_total" {command, outcome};
    /// Time from reading a request to its answer, for requests that a lane or a worker answers.
    REQUEST = Histogram "imserver_request_seconds" {command};
    /// Requests over HTTP that were refused before a command was judged, by the error code.
    HTTP_REFUSALS = Counter "imserver_http_refusals_total" {reason};

    /// Frames pushed to connections: events, cursors, typing.
    PUSHES = Counter "imserver_pushes_total" {};
    /// Frames of heads and of calls to sync, sent to connections in the place of pushes that did not fit.
    HEADS = Counter "imserver_heads_total" {};
    /// Times that a connection became too slow for its pushes.
    SLOW_CONNECTIONS = Counter "imserver_slow_connections_total" {};
    /// Time from the publishing of a batch of commits until an event loop has queued its pushes for their peers.
    DELIVERY = Histogram "imserver_delivery_seconds" {};

    /// Watches of presence now: one for each person on each connection's list.
    PRESENCE_WATCHES = Gauge "imserver_presence_watches" {};
    /// Changes of presence that watchers were told of, each counted once however many were told.
    PRESENCE_CHANGES = Counter "imserver_presence_changes_total" {};

    /// Batches that the store was given, by what became of them.
    COMMITS = Counter "imserver_commits_total" {outcome};
    /// Time that the store took for a batch that it committed.
    COMMIT = Histogram "imserver_commit_seconds" {};
    /// Writes in a batch.
    COMMIT_WRITES = Histogram "imserver_commit_writes" {};
    /// Time from handing writes to a lane to the beginning of their batch; of a batch, the longest one.
    LANE_WAIT = Histogram "imserver_lane_wait_seconds" {};
    /// Writes that wait for a lane now.
    LANE_QUEUE = Gauge "imserver_lane_queue_writes" {};

    /// Tasks of the workers, which answer questions and logins, by what became of them.
    WORKER_TASKS = Counter "imserver_worker_tasks_total" {outcome};
    /// Time that tasks of the workers have waited, all together.
    WORKER_WAIT = Counter "imserver_worker_wait_seconds_total" {};
    /// Tasks that wait for a worker now.
    WORKER_QUEUE = Gauge "imserver_worker_queue_tasks" {};
    /// Tasks that workers are at now.
    WORKER_RUNNING = Gauge "imserver_worker_running_tasks" {};
    /// Questions that the store did not answer.
    QUESTIONS_FAILED = Counter "imserver_questions_failed_total" {};

    /// Time that hashing a password took.
    PASSWORD = Histogram "imserver_password_seconds" {};
    /// Passwords that were refused because too many waited.
    PASSWORDS_REFUSED = Counter "imserver_passwords_refused_total" {};
    /// Passwords that wait to be hashed now.
    PASSWORD_QUEUE = Gauge "imserver_password_queue_tasks" {};

    /// Bytes of the file of SQLite.
    SQLITE_DATABASE = Gauge "imserver_sqlite_database_bytes" {};
    /// Bytes of the write-ahead log of SQLite.
    SQLITE_WAL = Gauge "imserver_sqlite_wal_bytes" {};
    /// Reads that a cache answered.
    CACHE_HITS = Counter "imserver_cache_hits_total" {cache};
    /// Reads that a cache could not answer.
    CACHE_MISSES = Counter "imserver_cache_misses_total" {cache};
    /// Entries of a cache now.
    CACHE_ENTRIES = Gauge "imserver_cache_entries" {cache};
    /// Calls to Redis, those included that were not made because its breaker was open.
    REDIS_CALLS = Counter "imserver_redis_calls_total" {};
    /// Calls to Redis that got no answer, or an error.
    REDIS_UNANSWERED = Counter "imserver_redis_unanswered_total" {};
    /// Errors that Redis answered with.
    REDIS_ERRORS = Counter "imserver_redis_errors_total" {kind};

    /// Connections of a pool now.
    POOL_CONNECTIONS = Gauge "imserver_pool_connections" {pool, state};
    /// Connections that a pool may have.
    POOL_MAX = Gauge "imserver_pool_connections_max" {pool};
    /// Callers that wait for a connection of a pool now.
    POOL_WAITING = Gauge "imserver_pool_waiting_callers" {pool};
    /// Connections that a pool has lent.
    POOL_LEASES = Counter "imserver_pool_leases_total" {pool};
    /// Callers that got no connection of a pool.
    POOL_LEASES_FAILED = Counter "imserver_pool_leases_failed_total" {pool, reason};
    /// Connections that a pool has opened.
    POOL_CONNECTS = Counter "imserver_pool_connects_total" {pool};
    /// Connections that a pool could not open.
    POOL_CONNECTS_FAILED = Counter "imserver_pool_connects_failed_total" {pool};
    /// Connections that a pool has closed.
    POOL_CLOSED = Counter "imserver_pool_closed_total" {pool, reason};
    /// Time that callers waited for a connection of a pool.
    POOL_WAIT = Histogram "imserver_pool_wait_seconds" {pool};
    /// Time that callers had a connection of a pool.
    POOL_LEASE = Histogram "imserver_pool_lease_seconds" {pool};
    /// 1 for the state that a circuit breaker is in, 0 for the others.
    BREAKER_STATE = Gauge "imserver_breaker_state" {breaker, state};
    /// Times that a circuit breaker opened.
    BREAKER_OPENINGS = Counter "imserver_breaker_openings_total" {breaker};

    /// Always 1; which program this is, and what it stores in.
    BUILD = Gauge "imserver_build_info" {version, store};
    /// Processor time of the process, user and system.
    PROCESS_CPU = Counter "process_cpu_seconds_total" {};
    /// Resident memory of the process.
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" {};
    /// Virtual memory of the process.
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" {};
    /// Descriptors that the process has open.
    PROCESS_FDS = Gauge "process_open_fds" {};
    /// Descriptors that the process may have open.
    PROCESS_FDS_MAX = Gauge "process_max_fds" {};
    /// Threads of the process.
    PROCESS_THREADS = Gauge "process_threads" {};
    /// When the process started, in seconds since 1970.
    PROCESS_START = Gauge "process_start_time_seconds" {};
}
