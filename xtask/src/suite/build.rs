//! Builds everything that the suite runs, in one resolution of features, and finds the binaries in it.

use crate::process::{self, Failure, Result, Workspace};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// What `cargo test` builds, without the documentation's examples.
pub(super) const TARGETS: [&str; 4] = ["--lib", "--bins", "--tests", "--examples"];

/// The binaries that end-to-end tests start, with the variable that carries each one's path.
const WANTED: [(&str, &str); 4] = [
    ("imserver", "IMSERVER_BIN"),
    ("im", "IM_BIN"),
    ("imbench", "IMBENCH_BIN"),
    ("relay-limit", "RELAY_LIMIT_BIN"),
];

/// A developer's own settings for `im` and `imserver` must not reach the ones under test.
const SETTINGS: [&str; 2] = ["IM_", "IMSERVER_"];

/// What the tests are told: above all the paths of the binaries, by the variable that announces them.
#[derive(Debug, Default)]
pub(super) struct Binaries(BTreeMap<&'static str, OsString>);

impl Binaries {
    /// Announces something else as well.
    pub(super) fn add(&mut self, variables: Vec<(&'static str, String)>) {
        let variables = variables.into_iter();
        self.0.extend(variables.map(|(name, value)| (name, value.into())));
    }

    /// Puts all of it, and no other setting of the product, into the environment of `command`.
    pub(super) fn announce_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            if SETTINGS
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command.envs(&self.0)
    }
}

/// Builds the whole workspace, tests included, exactly as the runner will want it.
pub(super) fn all(workspace: &Workspace, profile: &[&str]) -> Result<Binaries> {
    let mut command = workspace.cargo(&["build", "--workspace", "--locked"]);
    command
        .args(TARGETS)
        .args(profile)
        .arg("--message-format=json-render-diagnostics");
    let messages = process::capture(&mut command)?;
    let found = WANTED.map(|(name, variable)| match executable(&messages, name) {
        Some(path) => Ok((variable, path.into_os_string())),
        None => Err(Failure::new(format!("the build made no binary `{name}`"))),
    });
    Ok(Binaries(found.into_iter().collect::<Result<_>>()?))
}

#[derive(Deserialize)]
struct Artifact {
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The path of binary `name` in cargo's messages, one JSON object per line. Other messages lack these fields.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts
        .filter(|artifact| artifact.target.name == name && artifact.target.kind == ["bin"])
        .filter(|artifact| !artifact.profile.test)
        .find_map(|artifact| artifact.executable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    const MESSAGES: &str = concat!(
        r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"im"},"profile":{"test":false},"executable":null}"#,
        "\n",
        r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"im"},"profile":{"test":true},"executable":"/t/deps/im-1"}"#,
        "\n",
        r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"im"},"profile":{"test":false},"executable":"/t/im"}"#,
        "\n",
        r#"{"reason":"build-finished","success":true}"#,
    );

    #[test]
    fn the_binary_is_told_from_its_library_and_its_unit_tests() {
        assert_eq!(executable(MESSAGES, "im"), Some(PathBuf::from("/t/im")));
        assert_eq!(executable(MESSAGES, "imserver"), None);
    }

    #[test]
    fn tests_are_told_the_paths_and_spared_other_settings() {
        let mut binaries = Binaries(BTreeMap::from([("IM_BIN", "/t/im".into())]));
        binaries.add(vec![("IMSERVER_TEST_REDIS", "redis://127.0.0.1/".to_owned())]);
        let mut command = Command::new("cargo");
        binaries.announce_to(&mut command);
        let set: Vec<_> = command.get_envs().filter(|(_, value)| value.is_some()).collect();
        let wanted: [(&OsStr, Option<&OsStr>); 2] = [
            (
                "IMSERVER_TEST_REDIS".as_ref(),
                Some("redis://127.0.0.1/".as_ref()),
            ),
            ("IM_BIN".as_ref(), Some("/t/im".as_ref())),
        ];
        assert_eq!(set, wanted);
    }
}
