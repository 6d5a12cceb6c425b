//! Packs a bundle into one file and unpacks it. The destination changes only when the result is complete and checked.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::archive;
use super::files::BundleRef;
use super::open::Bundle;
use crate::error::{Error, Result};
use crate::io::{IfExists, folder_of};

/// Packs bundle `from` into the file `to`. Equal bundles give equal files.
///
/// # Errors
/// Returns [`Error::Bundle`] if the bundle fails a check, and [`Error::Output`] if `to` exists and must not be
/// replaced, or cannot be written.
pub fn pack(from: &BundleRef, to: &Path, if_exists: IfExists) -> Result<()> {
    let bundle = Bundle::open(from)?;
    let failed = |e: io::Error| Error::Output(format!("{}: it cannot be written ({e})", to.display()));
    if if_exists == IfExists::Fail && to.symlink_metadata().is_ok() {
        return Err(already_exists(to));
    }
    let mut file = tempfile::NamedTempFile::new_in(folder_of(to)).map_err(failed)?;
    let mut writer = archive::Writer::new(BufWriter::new(file.as_file_mut()));
    for (name, bytes) in bundle.all_files() {
        writer.append(name, bytes.len() as u64, bytes).map_err(failed)?;
    }
    writer.finish().and_then(|mut out| out.flush()).map_err(failed)?;
    set_mode(file.path(), 0o644).map_err(failed)?;
    match if_exists {
        IfExists::Replace => file.persist(to).map(drop).map_err(|e| failed(e.error)),
        IfExists::Fail => file.persist_noclobber(to).map(drop).map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => already_exists(to),
            _ => failed(e.error),
        }),
    }
}

/// Unpacks a bundle's files into the folder `to`, which must not exist yet, or be empty.
///
/// # Errors
/// Returns an error as [`pack`] does.
pub fn unpack(from: &BundleRef, to: &Path) -> Result<()> {
    let bundle = Bundle::open(from)?;
    let failed = |e: io::Error| Error::Output(format!("{}: it cannot be written ({e})", to.display()));
    let empty = || fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    if to.symlink_metadata().is_ok_and(|meta| !(meta.is_dir() && empty())) {
        return Err(already_exists(to));
    }
    let staging = tempfile::Builder::new().prefix(".bundle-").tempdir_in(folder_of(to)).map_err(failed)?;
    let unpacked = staging.path().join("new");
    fs::create_dir(&unpacked).map_err(failed)?;
    for (name, bytes) in bundle.all_files() {
        fs::write(unpacked.join(name), bytes).map_err(failed)?;
    }
    set_mode(&unpacked, 0o755).map_err(failed)?;
    // This replaces an empty folder, and fails if something was put into it meanwhile.
    fs::rename(&unpacked, to).map_err(failed)
}

fn already_exists(to: &Path) -> Error {
    Error::Output(format!(
        "{}: it exists already; remove it or give another path (`bike-edge bundle pack --force` replaces a file)",
        to.display()
    ))
}

/// Sets permissions. Temporary files are readable only by their owner, but bundles should be readable by everyone.
#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

impl Bundle {
    /// Returns every file of the bundle, the manifest first.
    fn all_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let listed = self.files.iter().map(|(name, bytes)| (name.as_str(), &**bytes));
        let readme = self.readme.as_deref().filter(|_| !self.files.contains_key("README.md"));
        let card = readme.map(|bytes| ("README.md", bytes));
        std::iter::once(("bundle.toml", &*self.manifest_text)).chain(card).chain(listed)
    }
}
