//! The loop from frames to events, for clips, streams, cameras, replays and the service.
//!
//! A [`StreamRunner`] joins a session with its source. [`StreamRunner::poll`] processes at most one frame; [`drive`]
//! calls it until the source ends or the observer stops it. The service polls its cameras in turn.

use std::time::{Duration, Instant, SystemTime};

use super::engine::Engine;
use super::session::{Session, Step};
use crate::error::Result;
use crate::events::EventReport;
use crate::source::{ClipInfo, Live, LiveCounts, LiveUpdate, Loss, Stream};
use crate::units::Seconds;

/// Seconds added to the session's gap before the events of a silent source end, to allow for a late frame.
const GRACE_S: Seconds = 1.0;

/// Longest wait for a frame in [`drive`] between calls of [`Observer::keep_running`].
const MAX_POLL_WAIT: Duration = Duration::from_millis(200);

/// Where a session's frames come from.
pub enum StreamSource<'a> {
    /// A source whose frames wait until they are read: a recording, or a pipe or URL that is not read live.
    Recorded(Box<dyn Stream + 'a>),
    /// A source that runs at its own pace; frames that are not read in time are dropped and counted.
    Live(Box<dyn Live + 'a>),
}

/// A session together with its source.
pub struct StreamRunner<'a> {
    session: Session,
    source: StreamSource<'a>,
    clock: CaptureClock,
    /// When the newest frame arrived.
    last_arrival: Instant,
}

/// What one call of [`StreamRunner::poll`] produced.
#[derive(Debug)]
pub enum Update<'a> {
    /// A frame was sampled.
    Step {
        /// The frame's result.
        step: Step<'a>,
        /// When the frame was captured.
        captured: Captured,
    },
    /// Open events ended without a frame, because the source is silent, was lost or has ended.
    EventsEnded {
        /// The events.
        events: &'a [EventReport],
        /// When the last frame before their end was captured.
        captured: Captured,
    },
    /// The connection to a live source was lost and is being retried.
    ConnectionLost(&'a Loss),
}

/// When a frame was captured.
#[derive(Clone, Copy, Debug)]
pub struct Captured {
    /// Monotonic time of capture for live sources, estimated from the frame's timestamp and the arrivals so far; time of
    /// decoding for other sources.
    pub at: Instant,
    /// Time of day by the clock of this machine; `None` for sources that are not live.
    pub wall: Option<SystemTime>,
}

/// Whether a [`StreamRunner`] has more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Call [`StreamRunner::poll`] again.
    Continue,
    /// There will be no more frames.
    Ended,
}

/// Receives what [`drive`] produces.
pub trait Observer {
    /// Handles an update.
    ///
    /// # Errors
    /// An error stops the loop.
    fn update(&mut self, update: Update<'_>) -> Result<()>;

    /// Called after each poll. Returns false to stop the loop.
    ///
    /// # Errors
    /// An error stops the loop.
    fn keep_running(&mut self, _runner: &StreamRunner<'_>, _engine: &Engine) -> Result<bool> {
        Ok(true)
    }
}

/// Processes frames until the source ends or the observer stops it, then ends the open events. If an error stops it,
/// the caller may still end them with [`StreamRunner::finish`].
///
/// # Errors
/// What [`StreamRunner::poll`] and the observer return.
pub fn drive(runner: &mut StreamRunner<'_>, engine: &mut Engine, observer: &mut dyn Observer) -> Result<()> {
    while observer.keep_running(runner, engine)? {
        if runner.poll(engine, MAX_POLL_WAIT, &mut |update| observer.update(update))? == Progress::Ended {
            break;
        }
    }
    runner.finish(&mut |update| observer.update(update))
}

impl<'a> StreamRunner<'a> {
    /// Joins a session with a source that has not been read.
    pub fn new(session: Session, source: StreamSource<'a>) -> Self {
        Self { session, source, clock: CaptureClock::default(), last_arrival: Instant::now() }
    }

    /// Waits at most `wait` for the next frame to sample, if the source is live, and processes it. Calls `on_update`
    /// with what that produced.
    ///
    /// # Errors
    /// What the source, [`Session::process`] and `on_update` return.
    pub fn poll(
        &mut self,
        engine: &mut Engine,
        wait: Duration,
        on_update: &mut dyn FnMut(Update<'_>) -> Result<()>,
    ) -> Result<Progress> {
        let Some(next) = self.session.next_time() else { return self.end(on_update) };
        let lost = match &mut self.source {
            StreamSource::Recorded(stream) => {
                let Some(frame) = stream.first_at_or_after(next)? else { return self.end(on_update) };
                let captured = Captured { at: Instant::now(), wall: None };
                if let Some(step) = self.session.process(engine, &frame)? {
                    on_update(Update::Step { step, captured })?;
                }
                return Ok(Progress::Continue);
            }
            StreamSource::Live(source) => match source.newest(next, wait)? {
                LiveUpdate::Frame(frame) => {
                    self.last_arrival = Instant::now();
                    let captured = self.clock.captured(frame.time, self.last_arrival);
                    if let Some(step) = self.session.process(engine, &frame)? {
                        on_update(Update::Step { step, captured })?;
                    }
                    return Ok(Progress::Continue);
                }
                LiveUpdate::Ended => return self.end(on_update),
                LiveUpdate::Lost(loss) => Some(loss),
                LiveUpdate::NoFrame => None,
            },
        };
        if let Some(loss) = &lost {
            on_update(Update::ConnectionLost(loss))?;
        }
        let silent_s = self.last_arrival.elapsed().as_secs_f64();
        if self.session.last().is_some() && silent_s > self.session.gap_s() + GRACE_S {
            self.finish(on_update)?;
        }
        Ok(Progress::Continue)
    }

    /// Ends the open events. Does nothing if no frame was sampled since the last call.
    ///
    /// # Errors
    /// What `on_update` returns.
    pub fn finish(&mut self, on_update: &mut dyn FnMut(Update<'_>) -> Result<()>) -> Result<()> {
        let Some(last) = self.session.last() else { return Ok(()) };
        let captured = match self.source {
            StreamSource::Recorded(_) => Captured { at: Instant::now(), wall: None },
            StreamSource::Live(_) => self.clock.captured(last.time, Instant::now()),
        };
        on_update(Update::EventsEnded { events: self.session.finish(), captured })
    }

    /// Replaces the session, whose open events must have been ended ([`Self::finish`]), and returns the old one. The
    /// source stays open, and stream time continues.
    pub fn replace_session(&mut self, session: Session) -> Session {
        std::mem::replace(&mut self.session, session)
    }

    /// Asks a live source to stop, without waiting for it ([`Live::cancel`]).
    pub fn cancel(&self) {
        if let StreamSource::Live(source) = &self.source {
            source.cancel();
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Changes the stride, as the governor does on a hot board.
    ///
    /// # Errors
    /// As [`Session::set_stride`].
    pub fn set_stride(&mut self, stride: Seconds) -> Result<()> {
        self.session.set_stride(stride)
    }

    /// The properties of the source.
    pub fn info(&self) -> &ClipInfo {
        match &self.source {
            StreamSource::Recorded(stream) => stream.info(),
            StreamSource::Live(source) => source.info(),
        }
    }

    /// Losses while reading a recording, one sentence each.
    pub fn warnings(&self) -> &[String] {
        match &self.source {
            StreamSource::Recorded(stream) => stream.warnings(),
            StreamSource::Live(_) => &[],
        }
    }

    /// Counts of the frames of a live source.
    pub fn counts(&self) -> Option<LiveCounts> {
        match &self.source {
            StreamSource::Recorded(_) => None,
            StreamSource::Live(source) => Some(source.counts()),
        }
    }

    fn end(&mut self, on_update: &mut dyn FnMut(Update<'_>) -> Result<()>) -> Result<Progress> {
        self.finish(on_update)?;
        Ok(Progress::Ended)
    }
}

/// Relates stream time to the clock of this machine.
#[derive(Default)]
struct CaptureClock {
    /// When stream time 0 was, by estimate: the smallest difference of arrival time and stream time so far.
    zero: Option<Instant>,
}

impl CaptureClock {
    /// Returns when a frame of stream time `time`, which arrived at `now`, was captured.
    fn captured(&mut self, time: Seconds, now: Instant) -> Captured {
        let passed = Duration::try_from_secs_f64(time).unwrap_or_default();
        let zero = now.checked_sub(passed).unwrap_or(now);
        let zero = *self.zero.insert(self.zero.map_or(zero, |known| known.min(zero)));
        let at = (zero + passed).min(now);
        Captured { at, wall: SystemTime::now().checked_sub(at.elapsed()) }
    }
}
