//! The PostgreSQL and the Redis that one run of the suite shares, and the terminal and the Python of its tests: installed where they are missing and we may,
//! started before the tests, ended after them. It must never use a server that it was not told of, nor any port
//! that a package's own service listens on.

use crate::process::{self, Failure, Outcome, Result, Workspace};
use ::services::{POSTGRES_VARIABLE, Postgres, REDIS_VARIABLE, Redis, ServiceError};
use std::process::Command;

/// What installs them, the first that is there: asking nothing, and nothing beyond what is needed.
const INSTALLERS: [(&str, &[&[&str]]); 3] = [
    (
        "apt-get",
        &[
            &["update"],
            &[
                "install",
                "--yes",
                "--no-install-recommends",
                "postgresql",
                "redis-server",
                "tmux",
                "python3",
            ],
        ],
    ),
    (
        "dnf",
        &[&[
            "install",
            "--assumeyes",
            "postgresql-server",
            "redis",
            "tmux",
            "python3",
        ]],
    ),
    ("apk", &[&["add", "postgresql", "redis", "tmux", "python3"]]),
];

/// Programs of others that single tests try the product with, each with its package where apt-get finds it. Without
/// one its test fails, and says so.
const CLIENTS: [(&str, &str); 16] = [
    ("pgbouncer", "pgbouncer"),
    ("redis-benchmark", "redis-tools"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx-light"),
    (NGINX_STREAM, "libnginx-mod-stream"),
    ("ab", "apache2-utils"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("promtool", "prometheus"),
    ("pip3", "python3-pip"),
    ("systemd-analyze", "systemd"),
    // The unit reloads with it.
    ("kill", "procps"),
    // With it comes Node, which has a WebSocket of its own from version 20.10 on.
    ("node", "node-ws"),
    (REDIS_PY, "python3-redis"),
];

/// A module of Python, which no search path has.
const REDIS_PY: &str = "redis-py";

/// A module of nginx, which is no program.
const NGINX_STREAM: &str = "nginx-stream";
/// Where Debian and its kin keep it.
const NGINX_STREAM_FILE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Where programs are that are not for everybody's search path.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// The servers of one run, ended when dropped: after failed tests, and after failures of ours.
#[derive(Debug)]
pub(crate) struct Services {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

impl Services {
    /// Starts them, except those that the environment already names.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        let postgres_wanted = std::env::var_os(POSTGRES_VARIABLE).is_none();
        let redis_wanted = std::env::var_os(REDIS_VARIABLE).is_none();
        if missing(redis_wanted).is_some() {
            install(workspace)?;
        }
        if let Some(error) = missing(redis_wanted) {
            return Err(Failure::new(error.to_string()));
        }
        provide_clients(workspace);
        let failed = |error: ServiceError| Failure::new(error.to_string());
        Ok(Self {
            postgres: postgres_wanted
                .then(Postgres::start)
                .transpose()
                .map_err(failed)?,
            redis: redis_wanted.then(Redis::start).transpose().map_err(failed)?,
        })
    }

    /// The variables that name the servers to tests.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let named = |variable: &'static str, started: Option<String>| {
            let url = started.or_else(|| std::env::var(variable).ok())?;
            Some((variable, url))
        };
        let postgres = named(POSTGRES_VARIABLE, self.postgres.as_ref().map(Postgres::url));
        let redis = named(REDIS_VARIABLE, self.redis.as_ref().map(Redis::url));
        postgres.into_iter().chain(redis).collect()
    }
}

/// Installs the programs that single tests want, as far as we may, and names those that stay missing.
fn provide_clients(workspace: &Workspace) {
    let absent = || -> Vec<&(&str, &str)> {
        let has = |program: &str| match program {
            REDIS_PY => process::answer(workspace.command("python3").args(["-c", "import redis"])).is_some(),
            NGINX_STREAM => std::path::Path::new(NGINX_STREAM_FILE).is_file(),
            _ => is_there(program),
        };
        CLIENTS.iter().filter(|(program, _)| !has(program)).collect()
    };
    let missing = absent();
    if !missing.is_empty() && is_root(workspace) && has(workspace, "apt-get") {
        let mut command = workspace.command("apt-get");
        command
            .args(["install", "--yes", "--no-install-recommends"])
            .args(missing.iter().map(|(_, package)| package))
            .env("DEBIAN_FRONTEND", "noninteractive");
        // What stays missing is named below.
        let _ = process::run(&mut command);
    }
    for (program, package) in absent() {
        eprintln!("{program} is missing, and what is tried with it will fail: install the package {package}");
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path).chain([SYSTEM_PROGRAMS.into()]);
    directories.any(|directory| directory.join(program).is_file())
}

fn is_root(workspace: &Workspace) -> bool {
    process::answer(workspace.command("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}

fn has(workspace: &Workspace, program: &str) -> bool {
    process::answer(workspace.command(program).arg("--version")).is_some()
}

/// What is not installed. Tests that stop their server start one of their own, and every test asks PostgreSQL for
/// a database with its programs: so a server that the environment names does not replace them.
fn missing(redis_wanted: bool) -> Option<ServiceError> {
    let redis = || redis_wanted.then(::services::find_redis)?.err();
    let tmux = || ::services::find_tmux().err();
    let python = || ::services::find_python().err();
    let postgres = ::services::find_postgres().err();
    postgres.or_else(redis).or_else(tmux).or_else(python)
}

/// Installs them with the system's installer, if we are root; else the caller says what is missing.
fn install(workspace: &Workspace) -> Result<()> {
    let found = INSTALLERS.iter().find(|(program, _)| has(workspace, program));
    let Some((program, calls)) = found.filter(|_| is_root(workspace)) else {
        return Ok(());
    };
    for arguments in *calls {
        let mut command = workspace.command(program);
        command.args(*arguments).env("DEBIAN_FRONTEND", "noninteractive");
        attempt(&mut command)?;
    }
    Ok(())
}

fn attempt(command: &mut Command) -> Result<()> {
    match process::run(command)? {
        Outcome::Passed => Ok(()),
        Outcome::Failed => Err(Failure::new(
            "the installation failed: install PostgreSQL, Redis, tmux and Python yourself and try again",
        )),
    }
}
