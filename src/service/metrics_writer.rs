//! Writes the metrics file on a thread of its own, so that a slow disk does not hold up the loop.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bike_edge::io::{Durability, write_atomic};
use bike_edge::{Error, Result};

/// How long the last text is waited for at the end.
const END_TIME: Duration = Duration::from_secs(2);

/// The thread, seen from the loop.
pub(super) struct MetricsWriter(Arc<Slot>);

/// Passes the newest text to the thread; an older one that was not written yet is replaced.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    newest: Option<(PathBuf, String)>,
    writing: bool,
    end: bool,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(PathBuf, String)> {
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all();
        loop {
            if let Some(newest) = state.newest.take() {
                state.writing = true;
                return Some(newest);
            }
            if state.end {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl MetricsWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start() -> Result<Self> {
        let slot = Arc::<Slot>::default();
        let writer = slot.clone();
        let failed = |e| Error::Internal(format!("the thread that writes metrics cannot be started: {e}"));
        let work = move || {
            let mut failing = false;
            while let Some((path, text)) = writer.next() {
                match write_atomic(&path, text.as_bytes(), Durability::Readers) {
                    Ok(()) => failing = false,
                    Err(e) if !std::mem::replace(&mut failing, true) => {
                        log::error!("{}: cannot be written ({e})", path.display());
                    }
                    Err(_) => {}
                }
            }
        };
        thread::Builder::new().name("metrics-writer".into()).spawn(work).map_err(failed)?;
        Ok(Self(slot))
    }

    /// Replaces the file by this text, soon.
    pub fn write(&self, path: PathBuf, text: String) {
        self.0.state().newest = Some((path, text));
        self.0.changed.notify_all();
    }

    /// Waits for the last text, for a limited time.
    pub fn end(&self) {
        let mut state = self.0.state();
        state.end = true;
        self.0.changed.notify_all();
        let unfinished = |state: &mut State| state.newest.is_some() || state.writing;
        // What is not written by then is given up.
        let _ = self.0.changed.wait_timeout_while(state, END_TIME, unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.prom");
        let writer = MetricsWriter::start().unwrap();
        for number in 0..100 {
            writer.write(path.clone(), format!("a {number}\n"));
        }
        writer.end();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a 99\n");
    }
}
