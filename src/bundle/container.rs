//! A bundle's files, wherever they are: a folder, a packed file, or the binary itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{archive, embedded, limits};
use crate::table::Bytes;

/// Which bundle is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleRef {
    /// The one inside the binary.
    Embedded,
    /// A folder, or a packed file.
    Path(PathBuf),
}

impl From<&OsStr> for BundleRef {
    /// `embedded` or a path; a folder of that name is `./embedded`.
    fn from(text: &OsStr) -> Self {
        if text == "embedded" { Self::Embedded } else { Self::Path(text.into()) }
    }
}

impl std::fmt::Display for BundleRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where files are read from.
pub(super) enum Container {
    Folder(PathBuf),
    Packed(BTreeMap<String, Bytes>),
}

impl Container {
    /// Finds the bundle; nothing but the list of a packed file is read.
    pub fn open(reference: &BundleRef) -> Result<Self, String> {
        let path = match reference {
            BundleRef::Embedded => return Self::packed(&embedded::packed()),
            BundleRef::Path(path) => path,
        };
        let kind = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => "there is no such folder or file".to_owned(),
            _ => format!("it cannot be read ({e})"),
        })?;
        if kind.is_dir() {
            return Ok(Self::Folder(path.clone()));
        }
        if path.file_name().is_some_and(|name| name == "bundle.toml") {
            return Err("this is the manifest alone; give the folder it lies in".into());
        }
        Self::packed(&map(path, u64::MAX)?)
    }

    fn packed(bytes: &Bytes) -> Result<Self, String> {
        let files = archive::list(bytes, limits::FILES)?;
        let part = |(name, range)| Some((name, bytes.slice(range)?));
        let files = files.into_iter().map(part).collect::<Option<_>>();
        files.map(Self::Packed).ok_or_else(|| "it is cut short; copy or download it again".into())
    }

    /// The file's bytes, `Ok(None)` where it is not there. `name` must be plain.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>, String> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                match std::fs::symlink_metadata(&path) {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(format!("{name} cannot be read ({e})")),
                    // Not followed, so that a bundle holds all that it uses.
                    Ok(kind) if kind.is_symlink() => {
                        Err(format!("{name} is a symbolic link; put a copy of the file in its place"))
                    }
                    Ok(_) => map(&path, limit).map(Some).map_err(|problem| format!("{name}: {problem}")),
                }
            }
            Self::Packed(files) => match files.get(name) {
                Some(bytes) => check_size(bytes.len() as u64, limit)
                    .map_err(|problem| format!("{name}: {problem}"))
                    .map(|()| Some(bytes.clone())),
                None => Ok(None),
            },
        }
    }
}

fn check_size(size: u64, limit: u64) -> Result<(), String> {
    if size > limit {
        return Err(format!("it has {size} bytes, and {limit} are the most allowed"));
    }
    Ok(())
}

/// Maps a regular file.
fn map(path: &Path, limit: u64) -> Result<Bytes, String> {
    let unreadable = |e: std::io::Error| format!("it cannot be read ({e})");
    // Asked before opening: opening a pipe or device could wait for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    check_size(size, limit)?;
    if size == 0 {
        return Ok(Bytes::copy_of(&[]));
    }
    // SAFETY: the map is read-only. Someone who changes the file while it is used changes what is read, or ends the
    // process where the file shrinks; docs/bundle.md tells to replace bundles by renaming.
    let mapped = unsafe { Mmap::map(&file) };
    mapped.map(Bytes::from_map).map_err(|e| format!("it cannot be mapped into memory ({e})"))
}
