//! Passes the newest frame from the reader thread to the user of the source.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::raw_frame::RawFrame;
use super::super::{LiveCounts, Loss};
use crate::Error;
use crate::source::ClipInfo;
use crate::units::{Seconds, TIME_TOLERANCE_S};

/// Holds at most one frame, which a newer one replaces.
#[derive(Default)]
pub(super) struct FrameSlot {
    state: Mutex<State>,
    /// Signalled when there is something to take.
    available: Condvar,
    /// Signalled when the reader must stop.
    stopping: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Option<RawFrame>,
    /// Times of frames that were replaced since the last take. The next take decides whether they count as dropped.
    replaced: Vec<Seconds>,
    /// Buffers to reuse.
    spare: Vec<Vec<u8>>,
    /// A loss that was not taken yet, and the number of frames captured before it.
    loss: Option<(u64, Loss)>,
    /// How the source ended, until that is taken.
    outcome: Option<Result<(), Error>>,
    /// There will be no more frames.
    ended: bool,
    /// The reader has ended, and its device is closed.
    closed: bool,
    info: Option<ClipInfo>,
    counts: LiveCounts,
    stop: bool,
    /// When the reader was first asked to stop.
    stop_asked: Option<Instant>,
}

impl State {
    /// Records a frame that was not taken, and reuses its buffer.
    fn replace(&mut self, old: RawFrame) {
        if self.replaced.len() < MAX_REPLACED {
            self.replaced.push(old.time);
        } else {
            self.counts.dropped += 1;
        }
        if self.spare.len() < BUFFERS {
            self.spare.push(old.data);
        }
    }

    /// Counts frames before `from` as passed, and later ones that were replaced as dropped.
    fn count_dropped(&mut self, from: Seconds) {
        if self.waiting.as_ref().is_some_and(|frame| frame.time < from)
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

/// The result of [`FrameSlot::take`].
pub(super) enum SlotUpdate {
    Frame(RawFrame),
    Nothing,
    Lost(Loss),
    Ended,
    Failed(Error),
}

/// Maximum number of buffers: one being written, one waiting, one being analysed.
const BUFFERS: usize = 3;
/// Maximum number of replaced frames whose times are stored; further ones count as dropped.
const MAX_REPLACED: usize = 4096;

impl FrameSlot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a buffer for the next frame.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    /// Returns a buffer for reuse.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        let mut state = self.state();
        if state.spare.len() < BUFFERS {
            state.spare.push(buffer);
        }
    }

    /// Stores a frame, and replaces the one that is waiting.
    pub(super) fn put(&self, frame: RawFrame) {
        let mut state = self.state();
        if let Some(old) = state.waiting.replace(frame) {
            state.replace(old);
        }
        self.available.notify_all();
    }

    /// Changes the counts.
    pub(super) fn count(&self, change: impl FnOnce(&mut LiveCounts)) {
        change(&mut self.state().counts);
    }

    pub(super) fn counts(&self) -> LiveCounts {
        self.state().counts
    }

    /// Stores the properties of the source, which has been opened.
    pub(super) fn opened(&self, info: ClipInfo) {
        self.state().info = Some(info);
        self.available.notify_all();
    }

    /// Reports that the source was lost.
    pub(super) fn lose(&self, loss: Loss) {
        let mut state = self.state();
        state.loss = Some((state.counts.captured, loss));
        self.available.notify_all();
    }

    /// Reports that there will be no more frames. Only the first call has an effect.
    pub(super) fn end(&self, outcome: Result<(), Error>) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.ended, true) {
            state.outcome = Some(outcome);
        }
        self.available.notify_all();
    }

    /// Reports that the reader has ended.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.available.notify_all();
    }

    /// Waits until the reader has ended, at most until `time` after it was asked to stop; returns whether it has.
    pub(super) fn wait_closed(&self, time: Duration) -> bool {
        let state = self.state();
        let passed = state.stop_asked.map_or(Duration::ZERO, |asked| asked.elapsed());
        let waited = self.available.wait_timeout_while(state, time.saturating_sub(passed), |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Asks the reader to stop.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stop = true;
        state.stop_asked.get_or_insert_with(Instant::now);
        self.stopping.notify_all();
    }

    pub(super) fn stopped(&self) -> bool {
        self.state().stop
    }

    /// Lets the reader sleep between attempts. Returns false if it must stop.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let waited = self.stopping.wait_timeout_while(self.state(), time, |state| !state.stop);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// Waits until the source is open; `None` if it ended before.
    pub(super) fn wait_open(&self) -> Option<ClipInfo> {
        let mut state = self.state();
        while state.info.is_none() && !state.ended {
            state = self.available.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.info.clone()
    }

    /// Waits at most `wait` for a frame at or after the time `from`, a loss, or the end; updates `info`.
    pub(super) fn take(&self, from: Seconds, wait: Duration, info: &mut ClipInfo) -> SlotUpdate {
        let until = Instant::now() + wait;
        let from = from - TIME_TOLERANCE_S;
        let mut state = self.state();
        loop {
            if let Some(new) = state.info.take() {
                *info = new;
            }
            state.count_dropped(from);
            // A frame from before a loss is returned before the loss.
            let loss_first = match (&state.waiting, &state.loss) {
                (Some(frame), Some((before, _))) => frame.index >= *before,
                (None, Some(_)) => true,
                _ => false,
            };
            if loss_first && let Some((_, loss)) = state.loss.take() {
                return SlotUpdate::Lost(loss);
            }
            if let Some(frame) = state.waiting.take() {
                return SlotUpdate::Frame(frame);
            }
            if state.ended {
                return match state.outcome.take() {
                    Some(Err(e)) => SlotUpdate::Failed(e),
                    _ => SlotUpdate::Ended,
                };
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return SlotUpdate::Nothing;
            }
            state = self.available.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
