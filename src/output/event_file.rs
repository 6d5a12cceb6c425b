//! Writes events to a rotated file: only whole lines, a limited number of files of limited size.
//!
//! A full or broken disk loses lines but never stops the service: the failure is logged once, lost lines are counted,
//! and each line is a new attempt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::{ByteSize, check_range};

/// Number of bytes at the end of a file that are searched for its last whole line; far more than any event line.
const TAIL: u64 = 1 << 20;

/// The smallest `max_size`, so that a file holds some events.
const MIN_SIZE: ByteSize = ByteSize::new(64 << 10);

/// A file that is rotated when it is full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSpec {
    /// The absolute path of the newest file; older ones are `path.1`, `path.2` and so on.
    pub path: PathBuf,
    /// The size at which a file is full, at least 64K.
    pub max_size: ByteSize,
    /// The number of files, including the newest, 1..=1000.
    pub files: usize,
}

impl Default for FileSpec {
    /// 8 files of 16 MiB. There is no default path.
    fn default() -> Self {
        Self { path: PathBuf::new(), max_size: ByteSize::mib(16), files: 8 }
    }
}

impl FileSpec {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the key.
    pub fn check(&self) -> Result<()> {
        if self.max_size < MIN_SIZE {
            let remedy = format!("give at least {MIN_SIZE}, so that a file holds some events");
            return Err(Error::setting("max_size", format!("{} is too small", self.max_size), remedy));
        }
        check_range("files", self.files, 1..=1000, "a number of files")?;
        if self.path.as_os_str().is_empty() {
            let remedy = "name the file, such as \"/var/log/bike-edge/events.jsonl\"";
            return Err(Error::setting("path", "missing", remedy));
        }
        // A service is started in any folder, so a relative path would name a different file each time.
        if !self.path.is_absolute() {
            let problem = format!("`{}` is a relative path", self.path.display().to_string().escape_debug());
            return Err(Error::setting("path", problem, "give an absolute path"));
        }
        Ok(())
    }
}

/// Appends lines to a file and rotates it; older files are `path.1`, `path.2` and so on.
pub struct EventFile {
    spec: FileSpec,
    open: Option<OpenFile>,
    /// Whether the last line was lost.
    failing: bool,
    counts: LineCounts,
    line: Vec<u8>,
}

/// The number of lines by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Lines written.
    pub written: u64,
    /// Lines lost because the disk was full or broken.
    pub lost: u64,
}

struct OpenFile {
    file: File,
    bytes: u64,
}

impl EventFile {
    /// Opens the file and removes an unfinished line at its end. If the file cannot be opened, each line is a new
    /// attempt. The spec must have been checked.
    pub fn new(spec: &FileSpec) -> Self {
        let counts = LineCounts::default();
        let mut file = Self { spec: spec.clone(), open: None, failing: false, counts, line: Vec::new() };
        if let Err(e) = file.open() {
            file.log_failure(&e);
        }
        file
    }

    /// Writes one object, which is JSON already, as a line, and waits until it is on the disk. Returns whether it is.
    pub fn write_line(&mut self, json: &str) -> bool {
        let written = self.try_line(json);
        self.counts.lost += u64::from(!written);
        written
    }

    /// Writes a line that was lost before, and counts it as written; another failure is not counted.
    pub fn try_line(&mut self, json: &str) -> bool {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        line.extend_from_slice(json.as_bytes());
        line.push(b'\n');
        let written = self.append(&line);
        self.line = line;
        let is_written = written.is_ok();
        match written {
            Ok(()) => {
                self.counts.written += 1;
                if std::mem::take(&mut self.failing) {
                    let path = self.spec.path.display();
                    log::info!("{path}: writing works again; {} lines were lost so far", self.counts.lost);
                }
            }
            Err(e) => {
                // The next line opens the file again: the disk may have been cleared or replaced by then.
                self.open = None;
                self.log_failure(&e);
            }
        }
        is_written
    }

    /// Returns the number of lines so far.
    pub fn counts(&self) -> LineCounts {
        self.counts
    }

    fn log_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            log::error!("{}: cannot be written ({error}); events are lost until it can", self.spec.path.display());
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = self.open()?.bytes;
        if bytes > 0 && bytes + line.len() as u64 > self.spec.max_size.bytes() {
            self.rotate()?;
        }
        let open = self.open()?;
        let written = open.file.write_all(line).and_then(|()| open.file.sync_data());
        match written {
            Ok(()) => open.bytes += line.len() as u64,
            // Remove the part that was written. If that fails too, opening the file again removes it.
            Err(_) => open.file.set_len(open.bytes)?,
        }
        written
    }

    /// Returns the open file, and opens it if necessary.
    fn open(&mut self) -> io::Result<&mut OpenFile> {
        let open = match self.open.take() {
            Some(open) => open,
            None => open_repaired(&self.spec.path)?,
        };
        Ok(self.open.insert(open))
    }

    /// Renames every file to the next number; the oldest is replaced.
    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (0..self.spec.files - 1).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        if self.spec.files == 1 {
            fs::remove_file(&self.spec.path)?;
        }
        Ok(())
    }

    /// Returns the path of a file; 0 is the newest.
    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.spec.path.clone();
        }
        let mut path = self.spec.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// Opens a file for appending and removes an unfinished line at its end, which a power cut may have left.
fn open_repaired(path: &Path) -> io::Result<OpenFile> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let bytes = file.metadata()?.len();
    let from = bytes.saturating_sub(TAIL);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    Read::by_ref(&mut file).take(TAIL).read_to_end(&mut tail)?;
    // A file that lost blocks in a power cut ends in zeros, which are removed with the unfinished line.
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
    let keep = if tail.is_empty() { bytes } else { from + whole };
    if keep < bytes {
        log::warn!("{}: removing {} bytes of an unfinished line at its end", path.display(), bytes - keep);
        file.set_len(keep)?;
        file.sync_data()?;
    }
    Ok(OpenFile { file, bytes: keep })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::units::ByteSize;

    fn event_file(path: &Path, max_bytes: u64, files: usize) -> EventFile {
        EventFile::new(&FileSpec { path: path.to_owned(), max_size: ByteSize::new(max_bytes), files })
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn files_are_rotated_by_size_and_their_number_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut file = event_file(&path, 40, 3);
        // Each line has 10 bytes.
        assert!((0..18).all(|n| file.write_line(&json!({ "n": 100 + n }).to_string())));
        let numbers = |path: &Path| lines(path).iter().map(|l| l["n"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers(&path), [116, 117]);
        assert_eq!(numbers(&folder.path().join("events.jsonl.1")), [112, 113, 114, 115]);
        assert_eq!(numbers(&folder.path().join("events.jsonl.2")), [108, 109, 110, 111]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        assert_eq!(file.counts(), LineCounts { written: 18, lost: 0 });
        // After a restart, lines are appended to the existing file.
        drop(file);
        let mut file = event_file(&path, 40, 1);
        assert!((0..3).all(|n| file.write_line(&json!({ "n": 200 + n }).to_string())));
        assert_eq!(numbers(&path), [202], "a single file starts empty after a rotation");
    }

    #[test]
    fn an_unfinished_line_is_removed_on_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        for torn in [&b"{\"n\":1}\n{\"n\":2}\n{\"n\":"[..], b"{\"n\":1}\n{\"n\":2}\n\0\0\0\0\0"] {
            fs::write(&path, torn).unwrap();
            event_file(&path, 1 << 20, 2).write_line(&json!({ "n": 3 }).to_string());
            assert_eq!(lines(&path), [json!({ "n": 1 }), json!({ "n": 2 }), json!({ "n": 3 })]);
        }
        fs::write(&path, "never a whole line").unwrap();
        event_file(&path, 1 << 20, 2).write_line(&json!({ "n": 3 }).to_string());
        assert_eq!(lines(&path), [json!({ "n": 3 })]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = event_file(&path, 1 << 20, 2);
        assert!(!(0..3).any(|n| file.write_line(&json!({ "n": n }).to_string())));
        assert_eq!(file.counts(), LineCounts { written: 0, lost: 3 });
        fs::remove_file(&path).unwrap();
        file.write_line(&json!({ "n": 3 }).to_string());
        assert_eq!((file.counts(), lines(&path)), (LineCounts { written: 1, lost: 3 }, vec![json!({ "n": 3 })]));
    }

    #[test]
    fn a_missing_folder_is_retried_with_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/events.jsonl");
        let mut file = event_file(&path, 1 << 20, 2);
        file.write_line(&json!({ "n": 1 }).to_string());
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.write_line(&json!({ "n": 2 }).to_string());
        assert_eq!((file.counts(), lines(&path).len()), (LineCounts { written: 1, lost: 1 }, 1));
    }
}
