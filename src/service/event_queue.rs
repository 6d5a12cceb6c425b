//! A bounded queue of event lines between the service's loop and a thread that writes them.
//!
//! The loop never waits for a disk or a reader. If a writer does not keep up, updates are lost first, then starts, then
//! ends; each loss is counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bike_edge::events::EventKind;

/// Lines that wait, at most.
const MAX_WAITING: usize = 1024;
/// Updates are lost from this number of waiting lines on, so that starts and ends have room.
const MAX_BEFORE_UPDATE: usize = MAX_WAITING / 2;
/// Ends are lost only from this number on: there are no more than open events, 16 of each of 32 cameras.
const MAX_BEFORE_END: usize = 2 * MAX_WAITING;

/// A line to write.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The id of the event.
    pub id: String,
    pub kind: EventKind,
    /// The line as JSON.
    pub line: String,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Job<C> {
    Write(Entry),
    /// Use other settings from the next line on.
    Configure(C),
    /// All lines are written; end.
    End,
}

/// Passes entries from one thread to another.
pub(super) struct EventQueue<C> {
    state: Mutex<State<C>>,
    /// Signalled when there is a job, and when the writer has ended.
    changed: Condvar,
}

struct State<C> {
    jobs: VecDeque<Job<C>>,
    lost: u64,
    /// Whether the last line was lost.
    losing: bool,
    ended: bool,
}

impl<C> Default for EventQueue<C> {
    fn default() -> Self {
        let state = State { jobs: VecDeque::new(), lost: 0, losing: false, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Waiting,
    Lost,
    /// Lost, as the first since a line was taken.
    FirstLost,
}

impl<C> EventQueue<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, if there is room.
    pub fn push(&self, entry: Entry) -> Pushed {
        let mut state = self.state();
        let room = match entry.kind {
            EventKind::Update => MAX_BEFORE_UPDATE,
            EventKind::New => MAX_WAITING,
            EventKind::End => MAX_BEFORE_END,
        };
        if state.ended || state.jobs.len() >= room {
            state.lost += 1;
            return if std::mem::replace(&mut state.losing, true) { Pushed::Lost } else { Pushed::FirstLost };
        }
        state.losing = false;
        state.jobs.push_back(Job::Write(entry));
        self.changed.notify_all();
        Pushed::Waiting
    }

    /// Changes the settings after the lines that wait.
    pub fn configure(&self, settings: C) {
        let mut state = self.state();
        // Of several changes in a row only the last one matters.
        if matches!(state.jobs.back(), Some(Job::Configure(_))) {
            state.jobs.pop_back();
        }
        state.jobs.push_back(Job::Configure(settings));
        self.changed.notify_all();
    }

    /// Lets the writer end after the lines that wait, and waits at most `time` for it. Returns the number of lines that
    /// are still not written.
    pub fn end(&self, time: Duration) -> usize {
        let mut state = self.state();
        state.jobs.push_back(Job::End);
        self.changed.notify_all();
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.ended);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match state.ended {
            true => 0,
            // The one that is being written counts as well.
            false => state.jobs.iter().filter(|job| matches!(job, Job::Write(_))).count() + 1,
        }
    }

    /// Waits for the next job.
    pub fn next(&self) -> Job<C> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return job;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reports that the writer has ended. Later lines are lost.
    pub fn ended(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Returns whether the writer has ended.
    pub fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Number of lines lost so far.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: EventKind) -> Entry {
        Entry { id: "a".into(), kind, line: "{}".into() }
    }

    #[test]
    fn updates_are_lost_before_starts_and_ends() {
        let queue = EventQueue::<()>::default();
        for _ in 0..MAX_BEFORE_UPDATE {
            assert_eq!(queue.push(entry(EventKind::Update)), Pushed::Waiting);
        }
        assert_eq!(queue.push(entry(EventKind::Update)), Pushed::FirstLost);
        assert_eq!(queue.push(entry(EventKind::Update)), Pushed::Lost);
        for (kind, from, to) in
            [(EventKind::New, MAX_BEFORE_UPDATE, MAX_WAITING), (EventKind::End, MAX_WAITING, MAX_BEFORE_END)]
        {
            for _ in from..to {
                assert_eq!(queue.push(entry(kind)), Pushed::Waiting);
            }
            assert_eq!(queue.push(entry(kind)), Pushed::FirstLost);
        }
        assert_eq!(queue.lost(), 4);
    }

    #[test]
    fn a_writer_that_does_not_end_is_not_waited_for() {
        let queue = EventQueue::<u32>::default();
        queue.push(entry(EventKind::New));
        queue.push(entry(EventKind::End));
        queue.configure(1);
        queue.configure(2);
        assert!(matches!(queue.next(), Job::Write(_)));
        assert_eq!(queue.end(Duration::from_millis(5)), 2, "one that waits, and one that is being written");
        assert!(matches!(queue.next(), Job::Write(_)));
        assert!(matches!(queue.next(), Job::Configure(2)));
        assert!(matches!(queue.next(), Job::End));
        queue.ended();
        assert_eq!(queue.end(Duration::from_secs(60)), 0);
        assert_eq!(queue.push(entry(EventKind::New)), Pushed::FirstLost);
    }
}
