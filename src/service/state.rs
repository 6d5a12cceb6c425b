//! The state that survives a restart: counters and open events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bike_edge::health::rfc3339;
use bike_edge::io::{Durability, read_bytes, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Largest state that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Minimum time between saves of updated events, to spare flash memory. Starts and ends are saved at once.
const UPDATE_INTERVAL: Duration = Duration::from_secs(60);

/// The contents of state.json.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StateRecord {
    /// Version of this format.
    pub schema: u32,
    /// How often the service was started.
    pub starts: u64,
    /// Events that ended since the first start.
    pub ended: u64,
    /// The newest line of each open event, by id.
    pub open: BTreeMap<String, Value>,
}

/// The state and the file that it is saved in.
pub(super) struct State {
    path: Option<PathBuf>,
    record: StateRecord,
    saved: Option<Instant>,
    /// Whether the last save failed.
    failing: bool,
}

impl State {
    /// Reads the state of an earlier run and counts this start. A state that cannot be read is replaced by an empty
    /// one.
    pub fn open(path: Option<PathBuf>) -> Self {
        let record = path.as_deref().map(read).unwrap_or_default();
        let record = StateRecord { schema: 1, starts: record.starts + 1, ..record };
        Self { path, record, saved: None, failing: false }
    }

    /// Saves the state in another file from now on. What an earlier service left open there is ended at the next start.
    pub fn move_to(&mut self, path: Option<PathBuf>) {
        if self.path == path {
            return;
        }
        for (id, line) in path.as_deref().map(read).unwrap_or_default().open {
            self.record.open.entry(id).or_insert(line);
        }
        let old = std::mem::replace(&mut self.path, path);
        self.save();
        // A start with the old file would end the events again.
        let real = |path: &Path| path.canonicalize().ok();
        let moved = |old: &PathBuf| self.path.as_deref().is_some_and(|new| real(new) != real(old));
        if let Some(old) = old.filter(|old| !self.failing && old.exists() && moved(old))
            && let Err(e) = std::fs::remove_file(&old)
        {
            log::warn!("{}: the state has moved, but the old file cannot be removed ({e})", old.display());
        }
    }

    /// The state.
    pub fn record(&self) -> &StateRecord {
        &self.record
    }

    /// Records that an event started.
    pub fn started(&mut self, id: &str, line: Value) {
        self.record.open.insert(id.to_owned(), line);
        self.save();
    }

    /// Records the newest line of an open event.
    pub fn updated(&mut self, id: &str, line: Value) {
        self.record.open.insert(id.to_owned(), line);
        if self.saved.is_none_or(|when| when.elapsed() >= UPDATE_INTERVAL) {
            self.save();
        }
    }

    /// Records that an event ended and that its line was written.
    pub fn ended(&mut self, id: &str) {
        // A line that one output has and another one lost comes here twice.
        if self.record.open.remove(id).is_some() {
            self.record.ended += 1;
            self.save();
        }
    }

    /// Returns the lines that end the events which an earlier run left open. They stay open until [`State::ended`].
    pub fn interrupted(&mut self) -> Vec<(String, Value)> {
        let open = std::mem::take(&mut self.record.open);
        let lines: Vec<_> = open.into_iter().map(|(id, line)| (id, end_line(line, SystemTime::now()))).collect();
        self.record.open = lines.iter().cloned().collect();
        self.save();
        lines
    }

    fn save(&mut self) {
        let Some(path) = &self.path else { return };
        self.saved = Some(Instant::now());
        let bytes = match serde_json::to_vec(&self.record) {
            Ok(bytes) => bytes,
            Err(e) => return log::error!("{}: {e}", path.display()),
        };
        match write_atomic(path, &bytes, Durability::PowerCuts) {
            Ok(()) => self.failing = false,
            Err(e) if !std::mem::replace(&mut self.failing, true) => {
                log::error!(
                    "{}: cannot be written ({e}); after a restart open events will not be ended",
                    path.display()
                );
            }
            Err(_) => {}
        }
    }
}

fn read(path: &Path) -> StateRecord {
    if !path.exists() {
        return StateRecord::default();
    }
    let record = read_bytes(path, MAX_BYTES, "it is not a state file of this service")
        .map_err(|e| e.to_string())
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display())));
    record.unwrap_or_else(|problem| {
        log::warn!("{problem}; starting with an empty state");
        StateRecord::default()
    })
}

/// Returns the line that ends an event whose newest line is `line`.
fn end_line(mut line: Value, now: SystemTime) -> Value {
    let newest = line["t"].clone();
    let written = line["wall"]["written"].clone();
    if let Some(fields) = line.as_object_mut() {
        fields.insert("event".into(), "end".into());
        fields.insert("end".into(), newest);
        fields.insert("interrupted".into(), true.into());
        if let Some(wall) = fields.get_mut("wall").and_then(Value::as_object_mut) {
            wall.insert("end".into(), written);
            wall.insert("written".into(), rfc3339(now).into());
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn open_events_are_loaded_after_a_restart_and_ended_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = || Some(folder.path().join("state.json"));
        let mut state = State::open(path());
        state.started("a", json!({ "event": "new", "t": 2.0, "wall": { "written": "then" } }));
        state.started("b", json!({ "event": "new" }));
        state.ended("b");
        drop(state);

        let mut state = State::open(path());
        assert_eq!((state.record().starts, state.record().ended), (2, 1));
        let lines = state.interrupted();
        let (id, line) = &lines[0];
        assert_eq!((lines.len(), id.as_str()), (1, "a"));
        assert_eq!((&line["event"], &line["end"], &line["interrupted"]), (&json!("end"), &json!(2.0), &json!(true)));
        assert_eq!(line["wall"]["end"], "then");
        state.ended("a");
        assert!(State::open(path()).interrupted().is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn a_state_that_moves_leaves_nothing_behind_and_never_removes_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.json"), folder.path().join("b.json"));
        let mut state = State::open(Some(a.clone()));
        state.started("a", json!({ "event": "new" }));
        state.move_to(Some(b.clone()));
        assert!(!a.exists() && read(&b).open.contains_key("a"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        state.move_to(Some(link.join("b.json")));
        assert!(read(&b).open.contains_key("a"));
        state.move_to(None);
        assert!(b.exists());
    }

    #[test]
    fn an_unreadable_state_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["", "{\"starts\":", "{\"starts\":[]}", "\0\0\0\0"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(State::open(Some(path.clone())).record().starts, 1, "{text:?}");
        }
        assert_eq!(State::open(None).record().starts, 1);
    }
}
