//! The loop from frames to events, for clips, streams, cameras, replays and the service alike.
//!
//! A [`Runner`] joins a session with its source. [`Runner::poll`] processes at most one frame; [`drive`] calls it until
//! the source ends or the observer stops it. The service polls its cameras in turn.

use std::time::{Duration, Instant, SystemTime};

use super::engine::Engine;
use super::session::{Session, Step};
use crate::error::Result;
use crate::events::Event;
use crate::source::{ClipInfo, Live, LiveCounts, LiveUpdate, Loss, Stream};
use crate::units::Seconds;

/// Seconds past the session's gap after which the events of a silent source end, so that a frame on its way still counts.
const GRACE_S: Seconds = 1.0;

/// The longest wait for a frame in [`drive`] before the observer is asked whether to stop.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Where a session's frames come from.
pub enum Feed<'a> {
    /// A recording: frames wait until they are read.
    Recorded(Box<dyn Stream + 'a>),
    /// A source that produces frames by itself; frames that are not read in time are dropped and counted.
    Live(Box<dyn Live + 'a>),
}

/// A session together with its source.
pub struct Runner<'a> {
    session: Session,
    feed: Feed<'a>,
    clock: CaptureClock,
    /// When the newest frame arrived.
    last_arrival: Instant,
}

/// What one call of [`Runner::poll`] produced.
#[derive(Debug)]
pub enum Update<'a> {
    /// A frame was sampled.
    Step {
        /// The frame's result.
        step: Step<'a>,
        /// When the frame was captured.
        captured: Captured,
    },
    /// Open events ended without a frame, because the source is silent, lost or over.
    EventsEnded {
        /// The events.
        events: &'a [Event],
        /// When the frame was captured at which they ended.
        captured: Captured,
    },
    /// The connection to a live source was lost and is being retried.
    ConnectionLost(&'a Loss),
}

/// When a frame was captured.
#[derive(Clone, Copy, Debug)]
pub struct Captured {
    /// By the monotonic clock: as closely as the frame's timestamp allows for live sources; when the frame was decoded
    /// for recordings.
    pub at: Instant,
    /// By the clock of this machine; `None` for recordings, whose frames have no time of day.
    pub wall: Option<SystemTime>,
}

/// Whether a [`Runner`] has more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Call [`Runner::poll`] again.
    Pending,
    /// There will be no more frames.
    Ended,
}

/// Receives what [`drive`] produces.
pub trait Observer {
    /// Handles an update.
    ///
    /// # Errors
    /// What must stop the loop.
    fn update(&mut self, update: Update<'_>) -> Result<()>;

    /// Called after each poll. Returns false to stop the loop.
    ///
    /// # Errors
    /// What must stop the loop.
    fn keep_running(&mut self, _runner: &Runner<'_>, _engine: &Engine) -> Result<bool> {
        Ok(true)
    }
}

/// Processes frames until the source ends or the observer stops it, then ends the open events. If an error stops it, the
/// caller may still end them with [`Runner::finish`].
///
/// # Errors
/// What [`Runner::poll`] and the observer return.
pub fn drive(runner: &mut Runner<'_>, engine: &mut Engine, observer: &mut dyn Observer) -> Result<()> {
    while observer.keep_running(runner, engine)? {
        if runner.poll(engine, POLL_WAIT, &mut |update| observer.update(update))? == Poll::Ended {
            break;
        }
    }
    runner.finish(&mut |update| observer.update(update))
}

impl<'a> Runner<'a> {
    /// Joins a session with a source that has not been read.
    pub fn new(session: Session, feed: Feed<'a>) -> Self {
        Self { session, feed, clock: CaptureClock::default(), last_arrival: Instant::now() }
    }

    /// Waits at most `wait` for the next frame to sample, if the source is live, and processes it. Calls `on_update` with
    /// what that produced.
    ///
    /// # Errors
    /// What the source, [`Session::process`] and `on_update` return.
    pub fn poll(
        &mut self,
        engine: &mut Engine,
        wait: Duration,
        on_update: &mut dyn FnMut(Update<'_>) -> Result<()>,
    ) -> Result<Poll> {
        let Some(next) = self.session.next_time() else { return self.end(on_update) };
        let lost = match &mut self.feed {
            Feed::Recorded(stream) => {
                let Some(frame) = stream.first_at_or_after(next)? else { return self.end(on_update) };
                let captured = Captured { at: Instant::now(), wall: None };
                if let Some(step) = self.session.process(engine, &frame)? {
                    on_update(Update::Step { step, captured })?;
                }
                return Ok(Poll::Pending);
            }
            Feed::Live(source) => match source.newest(next, wait)? {
                LiveUpdate::Frame(frame) => {
                    self.last_arrival = Instant::now();
                    let captured = self.clock.captured(frame.time, self.last_arrival);
                    if let Some(step) = self.session.process(engine, &frame)? {
                        on_update(Update::Step { step, captured })?;
                    }
                    return Ok(Poll::Pending);
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
        Ok(Poll::Pending)
    }

    /// Ends the open events. Does nothing if no frame was sampled since the last call.
    ///
    /// # Errors
    /// What `on_update` returns.
    pub fn finish(&mut self, on_update: &mut dyn FnMut(Update<'_>) -> Result<()>) -> Result<()> {
        let Some(last) = self.session.last() else { return Ok(()) };
        let captured = match self.feed {
            Feed::Recorded(_) => Captured { at: Instant::now(), wall: None },
            Feed::Live(_) => self.clock.captured(last.time, Instant::now()),
        };
        on_update(Update::EventsEnded { events: self.session.finish(), captured })
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Changes the stride, as a governor does on a hot board.
    ///
    /// # Errors
    /// As [`Session::set_stride`].
    pub fn set_stride(&mut self, stride: Seconds) -> Result<()> {
        self.session.set_stride(stride)
    }

    /// What is known about the source.
    pub fn info(&self) -> &ClipInfo {
        match &self.feed {
            Feed::Recorded(stream) => stream.info(),
            Feed::Live(source) => source.info(),
        }
    }

    /// What was lost while reading a recording, one sentence each.
    pub fn warnings(&self) -> &[String] {
        match &self.feed {
            Feed::Recorded(stream) => stream.warnings(),
            Feed::Live(_) => &[],
        }
    }

    /// What happened to the frames of a live source.
    pub fn counts(&self) -> Option<LiveCounts> {
        match &self.feed {
            Feed::Recorded(_) => None,
            Feed::Live(source) => Some(source.counts()),
        }
    }

    fn end(&mut self, on_update: &mut dyn FnMut(Update<'_>) -> Result<()>) -> Result<Poll> {
        self.finish(on_update)?;
        Ok(Poll::Ended)
    }
}

/// Relates stream time to the clock of this machine.
#[derive(Default)]
struct CaptureClock {
    /// The earliest possible moment of stream time 0: the frame that arrived with the least delay defines it.
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
