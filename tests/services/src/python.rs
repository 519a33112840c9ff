//! Packages for Python that single tests need, at pinned versions whose files have known hashes.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, ServiceError, programs};

/// Python with packages.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    packages: PathBuf,
}

impl Python {
    /// With the packages that a file of requirements names, with their hashes. They are installed to `directory` once.
    ///
    /// # Errors
    /// Python or pip is missing, or a package cannot be had.
    pub fn with(requirements: &Path, directory: &Path) -> Result<Self> {
        let program = programs::python()?;
        let failed = |error: std::io::Error| ServiceError::new(format!("{}: {error}", directory.display()));
        if !directory.is_dir() {
            // Installed beside it and then moved, so that what is there is whole.
            let beside = directory.with_extension(format!("{}.new", std::process::id()));
            let mut install = Command::new(&program);
            install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]);
            install.arg("--target").arg(&beside).arg("-r").arg(requirements);
            let done = install.output().map_err(failed)?;
            if !done.status.success() {
                return Err(ServiceError::new(format!(
                    "{} cannot be installed (is the package `python3-pip` there?): {}",
                    requirements.display(),
                    String::from_utf8_lossy(&done.stderr)
                )));
            }
            if let Err(error) = std::fs::rename(&beside, directory) {
                // Another test may have been faster.
                if !directory.is_dir() {
                    return Err(failed(error));
                }
                let _ = std::fs::remove_dir_all(&beside);
            }
        }
        Ok(Self {
            program,
            packages: directory.to_owned(),
        })
    }

    /// Python, which finds the packages.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PYTHONPATH", &self.packages).arg("-B");
        command
    }
}
