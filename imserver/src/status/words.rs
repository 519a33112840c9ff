//! A status in words: one line for the log, several for a terminal.

use std::fmt::{self, Display, Formatter, Write};

use super::{Breaker, Phase, Pool, Redis, Status, Store};

impl Status {
    /// In one line, for the log: the sessions, the questions, and each thing that it depends on.
    pub fn line(&self) -> String {
        let mut parts = vec![
            format!("{} sessions connected", self.sessions),
            format!(
                "{} questions answered, {} of connections that were gone dropped",
                self.questions.done, self.questions.dropped
            ),
        ];
        parts.extend(self.store.words());
        parts.extend(self.redis.as_ref().map(Redis::words));
        parts.join("; ")
    }

    /// In several lines, for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<12}{value}");
        };
        let named = if self.node.is_empty() { "" } else { " as " };
        line(
            "imserver",
            &format!(
                "{}{named}{}, process {}, {} for {} s",
                self.version,
                self.node,
                self.process_id,
                self.phase,
                self.uptime_ms / 1_000
            ),
        );
        line("listening", &self.addresses.join(", "));
        line(
            "connected",
            &format!("{} connections, {} sessions", self.connections, self.sessions),
        );
        let writes: u64 = self.writes_waiting.iter().sum();
        line(
            "waiting",
            &format!(
                "{writes} writes, {} questions, {} passwords",
                self.questions.waiting, self.passwords.waiting
            ),
        );
        line(
            "answered",
            &format!(
                "{} questions (longest wait {:.1} ms), {} passwords",
                self.questions.done, self.questions.longest_wait_ms, self.passwords.done
            ),
        );
        let store = match &self.store {
            Store::Memory => "in memory".to_owned(),
            Store::Sqlite {
                database_bytes,
                wal_bytes,
            } => {
                format!("SQLite, {database_bytes} bytes and {wal_bytes} of log")
            }
            Store::Postgres { .. } => self.store.words().unwrap_or_default(),
        };
        line("store", &store);
        if let Some(redis) = &self.redis {
            line("redis", &redis.words().trim_start_matches("Redis: "));
        }
        text
    }
}

impl Store {
    /// `None` where there is nothing to depend on.
    fn words(&self) -> Option<String> {
        match self {
            Self::Memory | Self::Sqlite { .. } => None,
            Self::Postgres {
                reading,
                pool,
                writing,
            } => {
                let Pool {
                    max,
                    open,
                    idle,
                    leased,
                    checking,
                    connecting,
                    waiting,
                    longest_wait_ms,
                } = pool;
                Some(format!(
                    "PostgreSQL: reading {reading}, {open} of {max} open: {idle} idle, {leased} leased, {checking} \
                     checking; {connecting} connecting, {waiting} waiting, longest wait {longest_wait_ms:.1}ms; \
                     writing {writing}"
                ))
            }
        }
    }
}

impl Redis {
    fn words(&self) -> String {
        let Self {
            breaker,
            pool,
            calls,
            unanswered,
            errors,
        } = self;
        let mut words = format!(
            "Redis: {breaker}, at most {} connections: {} in use, {} idle, {} waiting, longest wait {:.1}ms; \
             {unanswered} of {calls} calls unanswered",
            pool.max, pool.leased, pool.idle, pool.waiting, pool.longest_wait_ms
        );
        for (index, (kind, count)) in errors.iter().enumerate() {
            let before = if index == 0 {
                "; answered with errors: "
            } else {
                ", "
            };
            // Writing to a string does not fail.
            let _ = write!(words, "{before}{kind} {count} times");
        }
        words
    }
}

impl Display for Breaker {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half open",
            Self::Recovering => "recovering",
        })
    }
}

impl Display for Phase {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Failed => "ending because the store failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Breaker, Phase, Pool, Redis, Status, Store, Tasks};

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            node: "one".to_owned(),
            process_id: 4_711,
            started_at_ms: 1_700_000_000_000,
            uptime_ms: 61_500,
            phase: Phase::Serving,
            addresses: vec!["127.0.0.1:7400".to_owned()],
            admin_address: None,
            connections: 13,
            sessions: 12,
            questions: Tasks {
                done: 7,
                dropped: 1,
                ..Tasks::default()
            },
            passwords: Tasks::default(),
            writes_waiting: vec![1, 2],
            store: Store::Postgres {
                reading: Breaker::Closed,
                pool: Pool {
                    max: 10,
                    open: 4,
                    idle: 3,
                    leased: 1,
                    longest_wait_ms: 2.145,
                    ..Pool::default()
                },
                writing: Breaker::HalfOpen,
            },
            redis: Some(Redis {
                breaker: Breaker::Open,
                pool: Pool {
                    max: 8,
                    idle: 2,
                    ..Pool::default()
                },
                calls: 3_120,
                unanswered: 4,
                errors: [("NOPERM".to_owned(), 3), ("OOM".to_owned(), 1)].into(),
            }),
        }
    }

    #[test]
    fn the_line_for_the_log_names_what_it_depends_on() {
        assert_eq!(
            status().line(),
            "12 sessions connected; 7 questions answered, 1 of connections that were gone dropped; PostgreSQL: reading \
             closed, 4 of 10 open: 3 idle, 1 leased, 0 checking; 0 connecting, 0 waiting, longest wait 2.1ms; writing \
             half open; Redis: open, at most 8 connections: 0 in use, 2 idle, 0 waiting, longest wait 0.0ms; 4 of 3120 \
             calls unanswered; answered with errors: NOPERM 3 times, OOM 1 times"
        );
        let alone = Status {
            store: Store::Sqlite {
                database_bytes: 4_096,
                wal_bytes: 0,
            },
            redis: None,
            ..status()
        };
        assert!(
            alone.line().ends_with("that were gone dropped"),
            "{}",
            alone.line()
        );
    }

    #[test]
    fn the_text_for_a_terminal_has_a_line_for_each_subject() {
        let text = status().text();
        let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(
            names,
            [
                "imserver",
                "listening",
                "connected",
                "waiting",
                "answered",
                "store",
                "redis"
            ]
        );
        assert!(
            text.starts_with("imserver    0.1.0 as one, process 4711, serving for 61 s\n"),
            "{text}"
        );
        assert!(text.contains("3 writes, 0 questions, 0 passwords\n"), "{text}");
    }

    #[test]
    fn json_brings_all_of_it_back() {
        let text = serde_json::to_string(&status()).unwrap();
        assert!(
            text.contains(r#""store":{"kind":"postgres","reading":"closed""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status());
    }
}
