//! Sizes and hashes of listed files.

use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

use super::manifest::FileEntry;
use crate::table::Bytes;

/// Compares a file with its entry; `name` begins every message.
fn check(name: &str, entry: &FileEntry, bytes: &[u8]) -> Result<(), String> {
    if bytes.len() as u64 != entry.bytes {
        return Err(format!(
            "{name} has {} bytes and bundle.toml says {}; copy or download the bundle again",
            bytes.len(),
            entry.bytes
        ));
    }
    let found = Sha256::digest(bytes);
    let same = found.iter().enumerate().all(|(i, byte)| {
        entry.sha256.get(2 * i..2 * i + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) == Some(*byte)
    });
    if !same {
        return Err(format!(
            "{name} has another sha256 than bundle.toml says, so it was changed or damaged; copy or download the \
             bundle again"
        ));
    }
    Ok(())
}

/// Compares all files with their entries, in parallel; results are in the order of `files`.
pub(super) fn check_all(files: &[(&str, &FileEntry, Bytes)]) -> Vec<Result<(), String>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(files.len()).min(8);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((i, (name, entry, bytes))) = take(&next, files) {
            done.push((i, check(name, entry, bytes)));
        }
        done
    };
    let mut results: Vec<_> = files.iter().map(|(name, ..)| Err(format!("{name} was not checked"))).collect();
    std::thread::scope(|scope| {
        // A thread that cannot be had leaves its share to the others.
        let others: Vec<_> = (1..workers).map(|_| std::thread::Builder::new().spawn_scoped(scope, work)).collect();
        let mut done = work();
        done.extend(others.into_iter().flatten().filter_map(|thread| thread.join().ok()).flatten());
        done.into_iter().for_each(|(i, result)| results[i] = result);
    });
    results
}

fn take<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let i = next.fetch_add(1, Ordering::Relaxed);
    items.get(i).map(|item| (i, item))
}
