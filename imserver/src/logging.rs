//! Logging through the `log` facade: to standard error, or to a file that is rotated. Never a body, a
//! password or a token.

use std::{num::NonZeroUsize, path::Path};

use logforth::{
    Append, Layout, append,
    append::file::{File, FileBuilder},
    bridge::log::LogBridge,
    filter::rustlog::RustLogFilterBuilder,
    layout::{JsonLayout, TextLayout},
};

use crate::config::{ConfigError, Level, Log, LogFormat};

/// Bytes of a log file before it is rotated, whatever the day.
const FILE_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(64 * 1024 * 1024).unwrap();
/// Rotated files that are kept.
const FILES_MAX: NonZeroUsize = NonZeroUsize::new(14).unwrap();

/// Starts logging as configured.
///
/// # Errors
/// The log file cannot be opened.
pub fn start(config: &Log) -> Result<(), ConfigError> {
    let layout: Box<dyn Layout> = match config.format {
        LogFormat::Human => Box::new(TextLayout::default().no_color()),
        LogFormat::Json => Box::new(JsonLayout::default()),
    };
    let append: Box<dyn Append> = if config.file.as_os_str().is_empty() {
        Box::new(append::Stderr::default().with_layout(layout))
    } else {
        Box::new(open(&config.file, layout)?)
    };
    // The level is the facade's, which can change.
    let filter = RustLogFilterBuilder::from_spec("trace,refinery_core=warn").build();
    let logger = logforth::core::builder()
        .dispatch(|dispatch| dispatch.filter(filter).append(append))
        .build();
    // Only a second start in one process could find a logger set; the first one stays.
    if log::set_boxed_logger(Box::new(LogBridge::new(logger))).is_ok() {
        log::set_max_level(level(config.level));
    }
    Ok(())
}

fn open(path: &Path, layout: Box<dyn Layout>) -> Result<File, ConfigError> {
    let wrong = |what: &str| ConfigError::Refused(format!("log.file {}: {what}", path.display()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| wrong("is no file name"))?;
    FileBuilder::new(directory.unwrap_or_else(|| Path::new(".")), name)
        .layout(layout)
        .rollover_daily()
        .rollover_size(FILE_BYTES_MAX)
        .max_log_files(FILES_MAX)
        .build()
        .map_err(|error| wrong(&error.to_string()))
}

/// Logs as much from now on.
pub fn set_level(new: Level) {
    log::set_max_level(level(new));
}

const fn level(level: Level) -> log::LevelFilter {
    match level {
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
        Level::Trace => log::LevelFilter::Trace,
    }
}
