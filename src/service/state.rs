//! What must outlive a restart: counters, and the events that went on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::{Lasting, write_whole};

/// Largest state that is read, bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Updates of events that go on are kept no more often, to spare flash memory; beginnings and ends are kept at once.
const UPDATES_EVERY: Duration = Duration::from_secs(60);

/// state.json.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Version of this form.
    pub schema: u32,
    /// Times that the service was started.
    pub starts: u64,
    /// Events told to their end since the first start.
    pub ended: u64,
    /// The newest line of each event that goes on, by id.
    pub open: BTreeMap<String, Value>,
}

/// What is kept, and where.
pub(super) struct State {
    path: Option<PathBuf>,
    kept: Kept,
    written: Option<Instant>,
    failing: bool,
}

impl State {
    /// What an earlier run left. What cannot be read is set aside and begun anew.
    pub fn open(path: Option<PathBuf>) -> Self {
        let kept = path.as_deref().map(read).unwrap_or_default();
        Self { path, kept: Kept { schema: 1, starts: kept.starts + 1, ..kept }, written: None, failing: false }
    }

    /// The same in another place from now on.
    pub fn moved(&mut self, path: Option<PathBuf>) {
        if self.path != path {
            self.path = path;
            self.save();
        }
    }

    /// What is kept.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// An event has begun.
    pub fn begun(&mut self, id: &str, line: Value) {
        self.kept.open.insert(id.to_owned(), line);
        self.save();
    }

    /// An event goes on.
    pub fn goes_on(&mut self, id: &str, line: Value) {
        self.kept.open.insert(id.to_owned(), line);
        if self.written.is_none_or(|when| when.elapsed() >= UPDATES_EVERY) {
            self.save();
        }
    }

    /// An event is over, and that has been written.
    pub fn ended(&mut self, id: &str) {
        self.kept.open.remove(id);
        self.kept.ended += 1;
        self.save();
    }

    /// Takes what an earlier run left open, as the lines that end it.
    pub fn interrupted(&mut self) -> Vec<(String, Value)> {
        let open = std::mem::take(&mut self.kept.open);
        let lines = open.into_iter().map(|(id, line)| (id, end_of(line, SystemTime::now())));
        let lines: Vec<_> = lines.collect();
        // Still open until they are written.
        self.kept.open = lines.iter().cloned().collect();
        self.save();
        lines
    }

    fn save(&mut self) {
        let Some(path) = &self.path else { return };
        self.written = Some(Instant::now());
        let bytes = match serde_json::to_vec(&self.kept) {
            Ok(bytes) => bytes,
            Err(e) => return log::error!("{}: {e}", path.display()),
        };
        match write_whole(path, &bytes, Lasting::PowerCuts) {
            Ok(()) => self.failing = false,
            Err(e) if !std::mem::replace(&mut self.failing, true) => {
                log::error!(
                    "{}: cannot be written ({e}); a restart will not know which events went on",
                    path.display()
                );
            }
            Err(_) => {}
        }
    }
}

fn read(path: &Path) -> Kept {
    let read = || -> Result<Kept, String> {
        let bytes = match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(e) => return Err(e.to_string()),
            Ok(meta) => meta.len(),
        };
        if bytes > MAX_BYTES {
            return Err(format!("{bytes} bytes is too long"));
        }
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    };
    read().unwrap_or_else(|problem| {
        log::warn!("{}: cannot be read ({problem}); it is begun anew", path.display());
        Kept::default()
    })
}

/// The line that ends an event of which no more is known than `line`.
fn end_of(mut line: Value, now: SystemTime) -> Value {
    let known = line["t"].clone();
    let written = line["wall"]["written"].clone();
    if let Some(fields) = line.as_object_mut() {
        fields.insert("event".into(), "end".into());
        fields.insert("end".into(), known);
        fields.insert("interrupted".into(), true.into());
        if let Some(wall) = fields.get_mut("wall").and_then(Value::as_object_mut) {
            wall.insert("end".into(), written);
            wall.insert("written".into(), humantime::format_rfc3339_millis(now).to_string().into());
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_went_on_is_known_after_a_restart_and_ended_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = || Some(folder.path().join("state.json"));
        let mut state = State::open(path());
        state.begun("a", json!({ "event": "new", "t": 2.0, "wall": { "written": "then" } }));
        state.begun("b", json!({ "event": "new" }));
        state.ended("b");
        drop(state);

        let mut state = State::open(path());
        assert_eq!((state.kept().starts, state.kept().ended), (2, 1));
        let lines = state.interrupted();
        let (id, line) = &lines[0];
        assert_eq!((lines.len(), id.as_str()), (1, "a"));
        assert_eq!((&line["event"], &line["end"], &line["interrupted"]), (&json!("end"), &json!(2.0), &json!(true)));
        assert_eq!(line["wall"]["end"], "then");
        state.ended("a");
        assert!(State::open(path()).interrupted().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["", "{\"starts\":", "{\"starts\":[]}", "\0\0\0\0"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(State::open(Some(path.clone())).kept().starts, 1, "{text:?}");
        }
        assert_eq!(State::open(None).kept().starts, 1);
    }
}
