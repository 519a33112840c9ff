//! Several daemons over one PostgreSQL and, if wanted, one Redis, all of a test's own.

use services::{Postgres, Redis};

use super::{Daemon, Setup};

/// How a cluster is to be started.
#[derive(Clone, Debug)]
pub struct ClusterSetup {
    /// Daemons.
    pub nodes: usize,
    /// With a Redis.
    pub redis: bool,
    /// Lines of every daemon's configuration file.
    pub config: String,
    /// The test makes daemons log errors.
    pub errors_allowed: bool,
}

impl ClusterSetup {
    /// So many nodes over PostgreSQL and Redis.
    pub const fn nodes(nodes: usize) -> Self {
        Self {
            nodes,
            redis: true,
            config: String::new(),
            errors_allowed: false,
        }
    }

    /// Without Redis.
    #[must_use]
    pub fn without_redis(self) -> Self {
        Self { redis: false, ..self }
    }

    /// With these lines of configuration.
    #[must_use]
    pub fn config(self, config: &str) -> Self {
        Self {
            config: config.to_owned(),
            ..self
        }
    }

    /// Errors in the daemons' logs are part of the test.
    #[must_use]
    pub fn allow_errors(self) -> Self {
        Self {
            errors_allowed: true,
            ..self
        }
    }

    /// Starts all of it.
    ///
    /// # Panics
    /// Something does not start.
    pub fn start(self) -> Cluster {
        let postgres = Postgres::start().expect("PostgreSQL");
        let redis = self.redis.then(|| Redis::start().expect("Redis"));
        let store = postgres.database().expect("a database");
        let mut cluster = Cluster {
            nodes: Vec::new(),
            redis,
            postgres,
            store,
            setup: self,
        };
        for _ in 0..cluster.setup.nodes {
            cluster.add_node();
        }
        cluster
    }
}

/// A running cluster. Fields are dropped in their order: the daemons go first.
#[derive(Debug)]
pub struct Cluster {
    /// The daemons.
    pub nodes: Vec<Daemon>,
    /// What may vanish.
    pub redis: Option<Redis>,
    /// The truth.
    pub postgres: Postgres,
    /// The URL of the database.
    pub store: String,
    setup: ClusterSetup,
}

impl Cluster {
    /// How one more daemon of this cluster is started.
    pub fn node_setup(&self) -> Setup {
        Setup {
            store: Some(self.store.clone()),
            redis: self.redis.as_ref().map(Redis::url),
            node: Some(format!("node{}", self.nodes.len())),
            config: self.setup.config.clone(),
            errors_allowed: self.setup.errors_allowed,
            ..Setup::default()
        }
    }

    /// A connection of its own to the database.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.store, postgres::NoTls).expect("a connection to PostgreSQL")
    }

    /// Runs SQL in the database.
    pub fn sql(&self, text: &str) {
        self.client().batch_execute(text).expect("SQL that succeeds");
    }

    /// Runs SQL in another database of the server.
    pub fn sql_elsewhere(&self, text: &str) {
        let client = postgres::Client::connect(&self.postgres.url(), postgres::NoTls);
        client
            .and_then(|mut client| client.batch_execute(text))
            .expect("SQL that succeeds");
    }

    /// One more daemon.
    pub fn add_node(&mut self) {
        let setup = self.node_setup();
        self.nodes.push(setup.start());
    }
}
