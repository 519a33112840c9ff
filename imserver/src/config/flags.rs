//! The command line and the environment.

use std::{net::SocketAddr, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, builder::Resettable};

use super::{Config, ConfigError, Level, SecretUrl};

/// An instant-messaging server in one binary.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(name = "imserver", version, about)]
pub struct Flags {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// A configuration file (TOML); every key has a default.
    #[arg(long, value_name = "FILE", env = "IMSERVER_CONFIG", global = true)]
    pub config: Option<PathBuf>,

    /// Address and port to serve on; port 0 takes any free one [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDR", env = "IMSERVER_LISTEN", value_parser = address)]
    pub listen: Option<SocketAddr>,

    /// Where to store: sqlite:PATH or postgres://USER@HOST/DATABASE [default: sqlite in the data directory].
    #[arg(
        long,
        value_name = "URL",
        env = "IMSERVER_STORE",
        hide_env_values = true,
        global = true
    )]
    pub store: Option<SecretUrl>,

    /// Redis, which several nodes over one PostgreSQL share: redis://HOST:PORT.
    #[arg(
        long,
        value_name = "URL",
        env = "IMSERVER_REDIS",
        hide_env_values = true,
        global = true
    )]
    pub redis: Option<SecretUrl>,

    /// This node's name; several nodes over one PostgreSQL need different ones [default: HOST:PORT].
    #[arg(long, value_name = "NAME", env = "IMSERVER_NODE")]
    pub node: Option<String>,

    /// Directory of the embedded store, made if missing [default: imserver-data].
    #[arg(long, value_name = "DIR", env = "IMSERVER_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    /// How much to log, to standard error [default: info].
    #[arg(
        long,
        value_name = "LEVEL",
        env = "IMSERVER_LOG_LEVEL",
        value_enum,
        global = true
    )]
    pub log_level: Option<Level>,

    /// Check the configuration and end: 0 if it is good.
    #[arg(long)]
    pub check_config: bool,

    /// Print a configuration file that sets every key to its default, and end.
    #[arg(long)]
    pub print_config: bool,
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write the IP address of this machine and a port, as 127.0.0.1:7400 or [::1]:7400".to_owned()
    })
}

impl Flags {
    /// Reads the command line and the environment; ends the process with a message where they are wrong. A variable that is
    /// set to nothing, as in `IMSERVER_LISTEN=`, means the default.
    pub fn of_this_process() -> Self {
        let mut command = Self::command();
        let is_set_to_nothing = |argument: &clap::Arg| {
            let value = argument.get_env().and_then(std::env::var_os);
            value.is_some_and(|value| value.is_empty())
        };
        let without: Vec<clap::Id> = command
            .get_arguments()
            .filter(|argument| is_set_to_nothing(argument))
            .map(|argument| argument.get_id().clone())
            .collect();
        for argument in without {
            command = command.mut_arg(argument, |argument| argument.env(Resettable::Reset));
        }
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Flags win over the file.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        if let Some(listen) = self.listen {
            config.server.listen = listen;
            config.listen.0.clear();
        }
        if let Some(store) = &self.store {
            config.store.url = store.expose().parse().map_err(ConfigError::Refused)?;
        }
        if let Some(redis) = &self.redis {
            config.redis.url.clone_from(redis);
        }
        if let Some(node) = &self.node {
            config.server.node.clone_from(node);
        }
        if let Some(data_dir) = &self.data_dir {
            if data_dir.as_os_str().is_empty() {
                return Err(ConfigError::Refused("the data directory has no name".to_owned()));
            }
            config.store.data_dir.clone_from(data_dir);
        }
        if let Some(level) = self.log_level {
            config.log.level = level;
        }
        Ok(())
    }
}

/// What the program does beside serving.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Makes accounts with sessions: PREFIX1, PREFIX2, … Prints a line for each: name, user id, session token.
    Provision(Provision),
    /// Lists the nodes that share this store's Redis.
    Nodes,
    /// Prints how the running daemon is. Exit code 3: none is running.
    Status(ShowStatus),
    /// Prints where users are connected, as the running daemon knows it. Exit code 3: none is running.
    Where(Where),
    /// Copies a whole embedded store into an empty PostgreSQL database, and compares the two.
    Copy(Copy),
    /// Copies an embedded store into a file while it is being used.
    Backup(Backup),
    /// Makes an embedded store from a backup.
    Restore(Restore),
    /// Which past the store has, and what to do where the daemon cannot know: after a move, or after putting it back.
    #[command(subcommand)]
    Past(Past),
}

/// See [`Command::Past`].
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Past {
    /// Lists the generations of the store's past, and what an operator should know or do.
    Show,
    /// Makes a new past by hand: every device starts over. For a store that was put back by other means than `restore`.
    New(NewPast),
    /// Checks the store and vouches for it: it was only moved, or what is remarked of it is known.
    Keep(Confirmed),
}

/// A change that is said before it is made.
#[derive(Clone, Debug, clap::Args)]
pub struct Confirmed {
    /// Do it without asking.
    #[arg(long)]
    pub yes: bool,
}

/// See [`Past::New`].
#[derive(Clone, Debug, clap::Args)]
pub struct NewPast {
    /// What to write beside it, for whoever reads the list later.
    #[arg(long, value_name = "TEXT", default_value = "an operator asked for it")]
    pub why: String,

    /// Whether to ask.
    #[command(flatten)]
    pub confirmed: Confirmed,
}

/// See [`Command::Status`].
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ShowStatus {
    /// As JSON.
    #[arg(long, conflicts_with = "metrics")]
    pub json: bool,

    /// What it has counted since its start instead, as text for Prometheus.
    #[arg(long)]
    pub metrics: bool,
}

/// See [`Command::Where`].
#[derive(Clone, Debug, clap::Args)]
pub struct Where {
    /// Names of users, or #ID.
    #[arg(value_name = "USER", required = true, num_args = 1..=1_000)]
    pub users: Vec<String>,

    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// See [`Command::Provision`].
#[derive(Clone, Debug, clap::Args)]
pub struct Provision {
    /// How many accounts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub count: u32,

    /// What their names begin with.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: String,

    /// The number of the first one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub first: u32,

    /// The password of all of them, to be read from this file [default: none, so that they cannot log in].
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// See [`Command::Copy`].
#[derive(Clone, Debug, clap::Args)]
pub struct Copy {
    /// The embedded store; nobody may use it meanwhile.
    #[arg(long, value_name = "sqlite:PATH")]
    pub from: SecretUrl,

    /// The empty database.
    #[arg(long, value_name = "postgres:URL")]
    pub to: SecretUrl,
}

/// See [`Command::Backup`].
#[derive(Clone, Debug, clap::Args)]
pub struct Backup {
    /// The file to make; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// See [`Command::Restore`].
#[derive(Clone, Debug, clap::Args)]
pub struct Restore {
    /// The backup.
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
}
