//! Reads a bundle's files from a folder, a packed file or the binary, and compares their hashes with the manifest.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::manifest::{FileEntry, Manifest};
use super::{archive, limits};
use crate::table::Bytes;

/// Bytes with the alignment of a mapped file, so that tables can be read in place.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// The packed bundle of the binary, which the build script checked.
static EMBEDDED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/bundle.tar")));

/// The location of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleRef {
    /// The binary itself.
    Embedded,
    /// A folder, or a packed file.
    Path(PathBuf),
}

impl From<&OsStr> for BundleRef {
    /// Parses `embedded` or a path. A folder with that name is given as `./embedded`.
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

/// The folder or packed file that a bundle's files are read from.
pub(super) enum Container {
    Folder(PathBuf),
    Packed(BTreeMap<String, Bytes>),
}

impl Container {
    /// Finds the bundle. Reads only the list of files if it is packed.
    pub fn open(reference: &BundleRef) -> Result<Self, String> {
        let path = match reference {
            BundleRef::Embedded => return Self::packed(&Bytes::from_static(&EMBEDDED.0)),
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
            return Err("this is only the manifest; give the folder that contains it".into());
        }
        Self::packed(&map(path, u64::MAX)?)
    }

    /// Lists the files of a packed bundle.
    fn packed(bytes: &Bytes) -> Result<Self, String> {
        let files = archive::list(bytes, limits::FILES)?;
        let part = |(name, range)| Some((name, bytes.slice(range)?));
        let files = files.into_iter().map(part).collect::<Option<_>>();
        files.map(Self::Packed).ok_or_else(|| "it is truncated; copy or download it again".into())
    }

    /// Returns a file's bytes, or `Ok(None)` if there is no such file. `name` must be a plain name.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Bytes>, String> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                match std::fs::symlink_metadata(&path) {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(format!("{name} cannot be read ({e})")),
                    // Links are not followed, so that a bundle contains everything that it uses.
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

/// Checks a file's size in bytes.
fn check_size(size: u64, limit: u64) -> Result<(), String> {
    if size > limit {
        return Err(format!("it has {size} bytes, but at most {limit} are allowed"));
    }
    Ok(())
}

/// Maps a regular file into memory.
fn map(path: &Path, limit: u64) -> Result<Bytes, String> {
    let unreadable = |e: std::io::Error| format!("it cannot be read ({e})");
    // Checked before opening, because opening a pipe or a device can block forever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    check_size(size, limit)?;
    if size == 0 {
        return Ok(Bytes::copy_of(&[]));
    }
    // SAFETY: the map is read-only. Whoever changes the file while it is mapped changes what is read, or crashes the
    // process by shrinking it; docs/bundle.md asks to replace bundles by renaming.
    let mapped = unsafe { Mmap::map(&file) };
    mapped.map(Bytes::from_map).map_err(|e| format!("it cannot be mapped into memory ({e})"))
}

/// Reads the files that the manifest lists. Their hashes are not checked yet.
pub(super) fn listed_files(container: &Container, manifest: &Manifest) -> Result<BTreeMap<String, Bytes>, String> {
    let mut files = BTreeMap::new();
    for name in manifest.files.keys() {
        let bytes = container.read(name, limits::file_bytes(name))?;
        let missing = || format!("{name} is listed in bundle.toml but missing; copy or download the bundle again");
        files.insert(name.clone(), bytes.ok_or_else(missing)?);
    }
    Ok(files)
}

/// Compares the sizes of all listed files with the manifest, which takes no time.
pub(super) fn check_sizes(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Result<(), String> {
    let entry = |(name, bytes)| manifest.files.get(name).map(|entry| (name, entry, bytes));
    files
        .iter()
        .filter_map(entry)
        .try_for_each(|(name, entry, bytes): (&String, _, &Bytes)| check_listed_size(name, entry, bytes))
}

fn check_listed_size(name: &str, entry: &FileEntry, bytes: &[u8]) -> Result<(), String> {
    if bytes.len() as u64 != entry.bytes {
        return Err(format!(
            "{name} has {} bytes, but bundle.toml lists {}; copy or download the bundle again",
            bytes.len(),
            entry.bytes
        ));
    }
    Ok(())
}

/// Compares a file's size and hash with its entry in the manifest. Messages start with `name`.
fn check_entry(name: &str, entry: &FileEntry, bytes: &[u8]) -> Result<(), String> {
    check_listed_size(name, entry, bytes)?;
    let found = Sha256::digest(bytes);
    let same = found.iter().enumerate().all(|(i, byte)| {
        entry.sha256.get(2 * i..2 * i + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) == Some(*byte)
    });
    if !same {
        return Err(format!(
            "{name} has a different sha256 than bundle.toml lists, so it was changed or damaged; copy or download the \
             bundle again"
        ));
    }
    Ok(())
}

/// Compares all files with their entries in the manifest, in parallel. The results are in the order of `files`.
pub(super) fn check_hashes(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Vec<Result<(), String>> {
    let entry = |(name, bytes)| manifest.files.get(name).map(|entry| (name, entry, bytes));
    let files: Vec<(&String, &FileEntry, &Bytes)> = files.iter().filter_map(entry).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).min(8);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((i, (name, entry, bytes))) = take(&next, &files) {
            done.push((i, check_entry(name, entry, bytes)));
        }
        done
    };
    let mut results: Vec<_> = files.iter().map(|(name, ..)| Err(format!("{name} was not checked"))).collect();
    std::thread::scope(|scope| {
        // If a thread cannot be started, the others do its work.
        let others: Vec<_> = (1..workers).map(|_| std::thread::Builder::new().spawn_scoped(scope, work)).collect();
        let mut done = work();
        done.extend(others.into_iter().flatten().filter_map(|thread| thread.join().ok()).flatten());
        done.into_iter().for_each(|(i, result)| results[i] = result);
    });
    results
}

/// Returns the next item and its index.
fn take<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let i = next.fetch_add(1, Ordering::Relaxed);
    items.get(i).map(|item| (i, item))
}
