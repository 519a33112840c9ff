//! Seeded faults: mistakes that a good engineer could make, each a patch in `tests/faults`. Every one is applied to a copy
//! of the tree, built, and must be found by the tests that it names. One that is not found is a hole in the suite.
//!
//! A patch begins with lines of its own, before the first `diff`:
//!
//! ```text
//! Fault: what is wrong, in a sentence
//! Found-by: the name of a test, or a part of it
//! Package: the one whose tests find it; without this line those that start the binaries
//! ```
//!
//! It must never change files under version control: the copy stays in the target directory, where the next run builds
//! on what this one has built.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::{self, Failure, Outcome, Result, Workspace};
use crate::suite;

/// Where the patches are.
const PATCHES: &str = "tests/faults";

/// What the user may choose.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only the faults whose names contain this.
    filter: Option<String>,
}

/// A mistake, and who finds it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fault {
    name: String,
    says: String,
    found_by: String,
    package: Option<String>,
}

/// Tries every fault. First the tests must pass without any.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let faults: Vec<Fault> = known(&workspace.root().join(PATCHES))?
        .into_iter()
        .filter(|fault| {
            options
                .filter
                .as_ref()
                .is_none_or(|part| fault.name.contains(part))
        })
        .collect();
    if faults.is_empty() {
        return Err(Failure::new(format!("no such fault in {PATCHES}")));
    }
    let tree = Tree::copy(workspace)?;
    let finders: BTreeSet<_> = faults
        .iter()
        .map(|fault| (&fault.package, &fault.found_by))
        .collect();
    for (package, finder) in finders {
        if tree.test(package.as_deref(), finder)? != Some(0) {
            eprintln!("{finder}: no such test, or it fails without a fault");
            return Ok(Outcome::Failed);
        }
    }
    let mut outcome = Outcome::Passed;
    let mut lines = Vec::new();
    for fault in &faults {
        let result = tree.with(&workspace.root().join(PATCHES), fault, || {
            tree.test(fault.package.as_deref(), &fault.found_by)
        })?;
        let word = match result {
            Some(0) => "NOT FOUND by",
            Some(_) => "found by",
            // What does not build is no mistake that anybody makes.
            None => "NOT BUILT for",
        };
        outcome = outcome.and(Outcome::from_bool(result.is_some_and(|failed| failed > 0)));
        lines.push(format!(
            "{:32} {word} {}: {}",
            fault.name, fault.found_by, fault.says
        ));
    }
    println!("\n{}", lines.join("\n"));
    Ok(outcome)
}

fn known(directory: &Path) -> Result<Vec<Fault>> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", directory.display()));
    let mut faults = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let text = fs::read_to_string(&path).map_err(failed)?;
            let fault = parse(&name, &text);
            faults.push(fault.ok_or_else(|| Failure::new(format!("{name}: no Fault and Found-by")))?);
        }
    }
    faults.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(faults)
}

fn parse(name: &str, text: &str) -> Option<Fault> {
    let head = text.lines().take_while(|line| !line.starts_with("diff "));
    let value = |key: &str| {
        let mut lines = head.clone();
        lines.find_map(|line| line.strip_prefix(key).map(|value| value.trim().to_owned()))
    };
    Some(Fault {
        name: name.to_owned(),
        says: value("Fault:")?,
        found_by: value("Found-by:")?,
        package: value("Package:"),
    })
}

/// A copy of everything that is under version control, as it is now.
struct Tree {
    root: PathBuf,
    target: PathBuf,
    source: PathBuf,
    cargo: std::ffi::OsString,
}

impl Tree {
    fn copy(workspace: &Workspace) -> Result<Self> {
        let base = workspace.target().join("faults");
        let tree = Self {
            root: base.join("tree"),
            target: base.join("target"),
            source: workspace.root().to_path_buf(),
            cargo: workspace.cargo(&[]).get_program().to_owned(),
        };
        let mut list = workspace.command("git");
        let listed =
            process::capture(list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        let wanted: BTreeSet<&str> = listed.split('\0').filter(|name| !name.is_empty()).collect();
        for name in &wanted {
            tree.put(name)?;
        }
        tree.remove_others(&tree.root, &wanted)?;
        Ok(tree)
    }

    /// What is the same already is left alone, so that cargo does not build it again.
    fn put(&self, name: &str) -> Result<()> {
        let (from, to) = (self.source.join(name), self.root.join(name));
        let failed = |error: std::io::Error| Failure::new(format!("cannot copy {name}: {error}"));
        // Deleted, and not committed yet.
        let Ok(wanted) = fs::read(&from) else {
            return Ok(());
        };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            return Ok(());
        }
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        // The permissions come along.
        fs::copy(&from, &to).map_err(failed)?;
        // A copy has the time of the original on some systems: it must be newer than what was built of the one before.
        let now = fs::File::options().append(true).open(&to).map_err(failed)?;
        now.set_modified(std::time::SystemTime::now()).map_err(failed)
    }

    /// Leftovers of an older copy.
    fn remove_others(&self, directory: &Path, wanted: &BTreeSet<&str>) -> Result<()> {
        let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", directory.display()));
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path
                .strip_prefix(&self.root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                self.remove_others(&path, wanted)?;
            } else if !wanted.contains(name.as_str()) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Does something while the fault is in the tree.
    fn with<T>(&self, patches: &Path, fault: &Fault, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let patch = patches.join(format!("{}.patch", fault.name));
        if self.apply(&patch, &[])? == Outcome::Failed {
            return Err(Failure::new(format!("{} does not apply", fault.name)));
        }
        let result = work();
        self.apply(&patch, &["--reverse"])?;
        result
    }

    fn apply(&self, patch: &Path, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new("git");
        command
            .arg("apply")
            .args(arguments)
            .arg(patch)
            .current_dir(&self.root);
        // It lies within a repository, and is none of its directories.
        command.env(
            "GIT_CEILING_DIRECTORIES",
            self.root.parent().unwrap_or(&self.root),
        );
        process::run(&mut command)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .args(arguments)
            .current_dir(&self.root)
            .env_remove("CARGO_MANIFEST_DIR")
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Builds, and says how many tests of this name fail; `None` where none was run.
    fn test(&self, package: Option<&str>, filter: &str) -> Result<Option<u64>> {
        let mut output = String::new();
        let mut command = self.cargo(&["xtask", "test", filter]);
        if let Some(package) = package {
            command.args(["--package", package]);
        }
        process::watch(&mut command, process::Stream::Error, |line| output.push_str(line))?;
        Ok(suite::failures(&output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_it_is_and_who_finds_it() {
        let text = "Fault: it forgets\nFound-by: disaster::killed\n\ndiff --git a/x b/x\nPackage: not this\n";
        let fault = parse("forgets", text).unwrap();
        assert_eq!(fault.says, "it forgets");
        assert_eq!(fault.package, None);
        assert_eq!(fault.found_by, "disaster::killed");
        assert_eq!(parse("bare", "diff --git a/x b/x\n"), None);
    }

    #[test]
    fn every_fault_of_the_repository_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let faults = known(&root.join(PATCHES)).unwrap();
        assert!(!faults.is_empty());
    }

    /// Whoever moves the code that a fault is put into takes the patch along.
    #[test]
    fn every_fault_of_the_repository_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for fault in known(&root.join(PATCHES)).unwrap() {
            let patch = root.join(PATCHES).join(format!("{}.patch", fault.name));
            let mut command = Command::new("git");
            command.args(["apply", "--check"]).arg(&patch).current_dir(root);
            let checked = command.output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{}: {said}", fault.name);
        }
    }
}
