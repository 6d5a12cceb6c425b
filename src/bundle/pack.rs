//! A bundle as one file, and back. Nothing appears at its destination before it is whole and checked.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Bundle, BundleRef, archive};
use crate::error::{Error, Result};

/// What to do where the destination is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it and fail.
    Never,
    /// Replace it.
    Replace,
}

/// Packs bundle `from` into the file `to`. Equal bundles make equal files.
///
/// # Errors
/// [`Error::Bundle`] where the bundle fails a check, [`Error::Output`] where `to` is there and must stay, or cannot be
/// written.
pub fn pack(from: &BundleRef, to: &Path, overwrite: Overwrite) -> Result<()> {
    let bundle = Bundle::open(from)?;
    let failed = |e: io::Error| Error::Output(format!("{}: it cannot be written ({e})", to.display()));
    if overwrite == Overwrite::Never && to.symlink_metadata().is_ok() {
        return Err(already_there(to));
    }
    let mut file = tempfile::NamedTempFile::new_in(parent(to)).map_err(failed)?;
    let mut writer = archive::Writer::new(BufWriter::new(file.as_file_mut()));
    for (name, bytes) in bundle.all_files() {
        writer.append(name, bytes.len() as u64, bytes).map_err(failed)?;
    }
    writer.finish().and_then(|mut out| out.flush()).map_err(failed)?;
    share(file.path(), 0o644).map_err(failed)?;
    match overwrite {
        Overwrite::Replace => file.persist(to).map(drop).map_err(|e| failed(e.error)),
        Overwrite::Never => file.persist_noclobber(to).map(drop).map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => already_there(to),
            _ => failed(e.error),
        }),
    }
}

/// Writes a bundle's files into the folder `to`. With [`Overwrite::Replace`] a bundle or empty folder that is there
/// is replaced; any other folder stays.
///
/// # Errors
/// As [`pack`].
pub fn unpack(from: &BundleRef, to: &Path, overwrite: Overwrite) -> Result<()> {
    let bundle = Bundle::open(from)?;
    let failed = |e: io::Error| Error::Output(format!("{}: it cannot be written ({e})", to.display()));
    check_replaceable(to, overwrite)?;
    let staging = tempfile::Builder::new().prefix(".bundle-").tempdir_in(parent(to)).map_err(failed)?;
    let fresh = staging.path().join("new");
    fs::create_dir(&fresh).map_err(failed)?;
    for (name, bytes) in bundle.all_files() {
        fs::write(fresh.join(name), bytes).map_err(failed)?;
    }
    share(&fresh, 0o755).map_err(failed)?;
    // What was there is moved aside first and goes with the staging folder, so that no moment leaves half of either.
    if to.symlink_metadata().is_ok() {
        fs::rename(to, staging.path().join("old")).map_err(failed)?;
    }
    fs::rename(&fresh, to).map_err(failed)
}

fn check_replaceable(to: &Path, overwrite: Overwrite) -> Result<()> {
    let Ok(kind) = to.symlink_metadata() else { return Ok(()) };
    if overwrite == Overwrite::Never {
        return Err(already_there(to));
    }
    let empty = || fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    if kind.is_dir() && (to.join("bundle.toml").is_file() || empty()) {
        return Ok(());
    }
    Err(Error::Output(format!(
        "{}: it is there and is no bundle, so it is not replaced; name another folder",
        to.display()
    )))
}

fn already_there(to: &Path) -> Error {
    Error::Output(format!(
        "{}: it is there already; remove it or name another (`pack` replaces with --force)",
        to.display()
    ))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Temporary files are made for their owner alone; bundles are for everyone to read.
#[cfg(unix)]
fn share(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn share(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

impl Bundle {
    /// Every file of the bundle, the manifest first.
    fn all_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let listed = self.files.iter().map(|(name, bytes)| (name.as_str(), &**bytes));
        let readme = self.readme.as_deref().filter(|_| !self.files.contains_key("README.md"));
        let card = readme.map(|bytes| ("README.md", bytes));
        std::iter::once(("bundle.toml", &*self.manifest_text)).chain(card).chain(listed)
    }
}
