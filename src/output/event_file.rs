//! Lines in a file that is rotated: whole lines only, a bounded number of files of bounded size.
//!
//! A full or broken disk loses lines, never the service: it is logged once, lines are counted, and each new line tries
//! again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How much of a file's end is looked at for its last whole line, bytes. No line of ours is nearly as long.
const TAIL: u64 = 1 << 20;

/// Appends lines to a file; older files are `path.1`, `path.2` and so on.
pub struct EventFile {
    path: PathBuf,
    max_bytes: u64,
    files: usize,
    open: Option<Open>,
    /// Whether the last line was lost.
    failing: bool,
    counts: FileCounts,
    line: Vec<u8>,
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Written whole.
    pub written: u64,
    /// Lost, as the disk was full or broken.
    pub lost: u64,
}

struct Open {
    file: File,
    bytes: u64,
}

impl EventFile {
    /// Opens the file and mends its end. What cannot be opened now is tried again with each line.
    pub fn new(path: &Path, max_bytes: u64, files: usize) -> Self {
        let path = path.to_path_buf();
        let counts = FileCounts::default();
        let mut new = Self { path, max_bytes, files, open: None, failing: false, counts, line: Vec::new() };
        if let Err(e) = new.ready() {
            new.complain(&e);
        }
        new
    }

    /// Writes one object as a line, and waits until it is on the disk.
    pub fn write(&mut self, object: &impl Serialize) {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let written = serde_json::to_writer(&mut line, object).map_err(io::Error::from).and_then(|()| {
            line.push(b'\n');
            self.append(&line)
        });
        self.line = line;
        match written {
            Ok(()) => {
                self.counts.written += 1;
                if std::mem::take(&mut self.failing) {
                    log::info!("{}: written again; {} lines were lost so far", self.path.display(), self.counts.lost);
                }
            }
            Err(e) => {
                self.counts.lost += 1;
                // Opened anew for the next line: someone may have made room, or a new disk.
                self.open = None;
                self.complain(&e);
            }
        }
    }

    /// What became of lines so far.
    pub fn counts(&self) -> FileCounts {
        self.counts
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            log::error!("{}: cannot be written ({error}); events are lost until it can", self.path.display());
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = self.ready()?.bytes;
        if bytes > 0 && bytes + line.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        let open = self.ready()?;
        let written = open.file.write_all(line).and_then(|()| open.file.sync_data());
        match written {
            Ok(()) => open.bytes += line.len() as u64,
            // What did not go in whole does not stay in part; where even that fails, opening it anew mends it.
            Err(_) => open.file.set_len(open.bytes)?,
        }
        written
    }

    fn ready(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => open_mended(&self.path)?,
        };
        Ok(self.open.insert(open))
    }

    /// Moves every file on by one; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (0..self.files - 1).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        if self.files == 1 {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// The path of a file, 0 being the newest.
    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// Opens the file to append, its end mended: a power cut may have left half a line.
fn open_mended(path: &Path) -> io::Result<Open> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let bytes = file.metadata()?.len();
    let from = bytes.saturating_sub(TAIL);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    Read::by_ref(&mut file).take(TAIL).read_to_end(&mut tail)?;
    // A file that lost its blocks in a power cut ends in zeros; they go with the half line.
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
    let keep = if tail.is_empty() { bytes } else { from + whole };
    if keep < bytes {
        log::warn!("{}: {} bytes of an unfinished line are cut off its end", path.display(), bytes - keep);
        file.set_len(keep)?;
        file.sync_data()?;
    }
    Ok(Open { file, bytes: keep })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn files_are_rotated_by_size_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut file = EventFile::new(&path, 40, 3);
        // Each line has 10 bytes.
        (0..18).for_each(|n| file.write(&json!({ "n": 100 + n })));
        let numbers = |path: &Path| lines(path).iter().map(|l| l["n"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers(&path), [116, 117]);
        assert_eq!(numbers(&folder.path().join("events.jsonl.1")), [112, 113, 114, 115]);
        assert_eq!(numbers(&folder.path().join("events.jsonl.2")), [108, 109, 110, 111]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        assert_eq!(file.counts(), FileCounts { written: 18, lost: 0 });
        // Goes on where it was, after a restart.
        drop(file);
        let mut file = EventFile::new(&path, 40, 1);
        (0..3).for_each(|n| file.write(&json!({ "n": 200 + n })));
        assert_eq!(numbers(&path), [202], "one file alone begins anew");
    }

    #[test]
    fn half_a_line_is_cut_off_on_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        for torn in [&b"{\"n\":1}\n{\"n\":2}\n{\"n\":"[..], b"{\"n\":1}\n{\"n\":2}\n\0\0\0\0\0"] {
            fs::write(&path, torn).unwrap();
            EventFile::new(&path, 1 << 20, 2).write(&json!({ "n": 3 }));
            assert_eq!(lines(&path), [json!({ "n": 1 }), json!({ "n": 2 }), json!({ "n": 3 })]);
        }
        fs::write(&path, "never a whole line").unwrap();
        EventFile::new(&path, 1 << 20, 2).write(&json!({ "n": 3 }));
        assert_eq!(lines(&path), [json!({ "n": 3 })]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = EventFile::new(&path, 1 << 20, 2);
        (0..3).for_each(|n| file.write(&json!({ "n": n })));
        assert_eq!(file.counts(), FileCounts { written: 0, lost: 3 });
        fs::remove_file(&path).unwrap();
        file.write(&json!({ "n": 3 }));
        assert_eq!((file.counts(), lines(&path)), (FileCounts { written: 1, lost: 3 }, vec![json!({ "n": 3 })]));
    }

    #[test]
    fn a_folder_that_is_missing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/events.jsonl");
        let mut file = EventFile::new(&path, 1 << 20, 2);
        file.write(&json!({ "n": 1 }));
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.write(&json!({ "n": 2 }));
        assert_eq!((file.counts(), lines(&path).len()), (FileCounts { written: 1, lost: 1 }, 1));
    }
}
