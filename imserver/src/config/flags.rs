//! The command line and the environment.

use std::{net::SocketAddr, path::PathBuf};

use super::{Config, Level};

/// An instant-messaging server in one binary.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(name = "imserver", version, about)]
pub struct Flags {
    /// A configuration file (TOML); every key has a default.
    #[arg(long, value_name = "FILE", env = "IMSERVER_CONFIG")]
    pub config: Option<PathBuf>,

    /// Address and port to serve on; port 0 takes any free one [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDR", env = "IMSERVER_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// Directory of the embedded store, made if missing [default: imserver-data].
    #[arg(long, value_name = "DIR", env = "IMSERVER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// How much to log, to standard error [default: info].
    #[arg(long, value_name = "LEVEL", env = "IMSERVER_LOG_LEVEL", value_enum)]
    pub log_level: Option<Level>,

    /// Check the configuration and end: 0 if it is good.
    #[arg(long)]
    pub check_config: bool,
}

impl Flags {
    /// Flags win over the file.
    pub(super) fn apply(&self, config: &mut Config) {
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        if let Some(data_dir) = &self.data_dir {
            config.store.data_dir.clone_from(data_dir);
        }
        if let Some(level) = self.log_level {
            config.log.level = level;
        }
    }
}
