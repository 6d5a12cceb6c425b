//! The place where a thread that reads leaves its newest frame for whoever takes it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::shot::Shot;
use super::{LiveCounts, Loss};
use crate::Error;
use crate::source::recorded::TIME_TOLERANCE_S;
use crate::source::{ClipInfo, Seconds};

/// One frame at most waits here; a newer one takes its place.
#[derive(Default)]
pub(in crate::source) struct Latest {
    state: Mutex<State>,
    /// Something for the taker.
    news: Condvar,
    /// Something for the reader: only that it is to stop.
    halt: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Option<Shot>,
    /// Times of frames that were replaced since the taker last asked: whether they are missed depends on what it wants.
    replaced: Vec<Seconds>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// A loss that was not told yet, and how many frames had come before it.
    loss: Option<(u64, Loss)>,
    ended: Option<Result<(), Error>>,
    over: bool,
    info: Option<ClipInfo>,
    counts: LiveCounts,
    stop: bool,
}

impl State {
    /// Notes a frame that was not taken, and keeps its buffer.
    fn replace(&mut self, old: Shot) {
        if self.replaced.len() < MOST_REPLACED {
            self.replaced.push(old.time);
        } else {
            self.counts.dropped += 1;
        }
        if self.spare.len() < BUFFERS {
            self.spare.push(old.data);
        }
    }

    /// Frames before `from` are passed over; later ones that were replaced are dropped.
    fn settle(&mut self, from: Seconds) {
        if self.waiting.as_ref().is_some_and(|shot| shot.time < from)
            && let Some(early) = self.waiting.take()
        {
            self.replace(early);
        }
        let passed = self.replaced.iter().filter(|time| **time < from).count() as u64;
        self.counts.passed += passed;
        self.counts.dropped += self.replaced.len() as u64 - passed;
        self.replaced.clear();
    }
}

/// What was left for the taker.
pub(super) enum News {
    Shot(Shot),
    Nothing,
    Lost(Loss),
    Ended,
    Failed(Error),
}

/// As many buffers as can be under way: one written, one waiting, one looked at.
const BUFFERS: usize = 3;
/// More frames than this are not missed by anyone who wants them.
const MOST_REPLACED: usize = 4096;

impl Latest {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer to write the next frame into.
    pub fn buffer(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn give_back(&self, buffer: Vec<u8>) {
        let mut state = self.state();
        if state.spare.len() < BUFFERS {
            state.spare.push(buffer);
        }
    }

    /// Leaves a frame, over the one that may be waiting.
    pub fn put(&self, shot: Shot) {
        let mut state = self.state();
        if let Some(old) = state.waiting.replace(shot) {
            state.replace(old);
        }
        self.news.notify_all();
    }

    /// Changes the counts.
    pub fn count(&self, change: impl FnOnce(&mut LiveCounts)) {
        change(&mut self.state().counts);
    }

    pub fn counts(&self) -> LiveCounts {
        self.state().counts
    }

    /// Says what the source is, once it is open.
    pub fn opened(&self, info: ClipInfo) {
        self.state().info = Some(info);
        self.news.notify_all();
    }

    /// Says that the source was lost.
    pub fn lose(&self, loss: Loss) {
        let mut state = self.state();
        state.loss = Some((state.counts.captured, loss));
        self.news.notify_all();
    }

    /// Says that nothing more will come. Only the first word counts.
    pub fn end(&self, how: Result<(), Error>) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.over, true) {
            state.ended = Some(how);
        }
        self.news.notify_all();
    }

    /// Asks the reader to stop.
    pub fn stop(&self) {
        self.state().stop = true;
        self.halt.notify_all();
    }

    pub fn stopped(&self) -> bool {
        self.state().stop
    }

    /// The reader's rest between two tries; false where it is to stop.
    pub fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.state();
        while !state.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.halt.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Waits until the source is open, or over before it was.
    pub fn wait_open(&self) -> Option<ClipInfo> {
        let mut state = self.state();
        while state.info.is_none() && !state.over {
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.info.clone()
    }

    /// What there is for the taker, within `wait`, of frames from the time `from` on; `info` is brought up to date.
    pub fn take(&self, from: Seconds, wait: Duration, info: &mut ClipInfo) -> News {
        let until = Instant::now() + wait;
        let from = from - TIME_TOLERANCE_S;
        let mut state = self.state();
        loop {
            if let Some(new) = state.info.take() {
                *info = new;
            }
            state.settle(from);
            // What came before a loss is told before it.
            let loss_first = match (&state.waiting, &state.loss) {
                (Some(shot), Some((before, _))) => shot.index >= *before,
                (None, Some(_)) => true,
                _ => false,
            };
            if loss_first && let Some((_, loss)) = state.loss.take() {
                return News::Lost(loss);
            }
            if let Some(shot) = state.waiting.take() {
                return News::Shot(shot);
            }
            if state.over {
                return match state.ended.take() {
                    Some(Err(e)) => News::Failed(e),
                    _ => News::Ended,
                };
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return News::Nothing;
            }
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
