//! A live source and its session: the newest frame, whenever one is wanted.

use std::time::{Duration, Instant};

use super::engine::Engine;
use super::session::{Session, Step};
use crate::error::Result;
use crate::events::Event;
use crate::source::{ClipInfo, Live, LiveCounts, Loss, Moment, Seconds};

/// Seconds past the gap after which events of a silent source end, so that a frame on its way is not cut off.
const GRACE_S: Seconds = 1.0;

/// A live source with its session.
pub struct Camera {
    session: Session,
    source: Box<dyn Live>,
    clock: Clock,
    /// When the newest frame was taken from the source.
    heard: Instant,
}

/// What [`Camera::poll`] tells.
#[derive(Debug)]
pub enum Told<'a> {
    /// A frame was sampled.
    Step {
        /// What became of it.
        step: Step<'a>,
        /// When it was captured, as nearly as its time says.
        captured: Instant,
    },
    /// What went on has ended, as the source is silent or over; with when the newest frame was captured.
    Ended {
        /// What is to be told.
        events: &'a [Event],
        /// When the frame was captured at which it ended.
        captured: Instant,
    },
    /// The source was lost and is being opened again.
    Lost(&'a Loss),
}

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Poll again.
    GoesOn,
    /// There will be no more frames.
    Over,
}

impl Camera {
    /// A source from which nothing was taken yet.
    pub fn new(session: Session, source: Box<dyn Live>) -> Self {
        Self { session, source, clock: Clock::default(), heard: Instant::now() }
    }

    /// Waits at most `wait` for the next frame that is to be sampled and takes it through the session; `tell` hears
    /// what came of it.
    ///
    /// # Errors
    /// What [`Live::newest`], [`Session::take`] and `tell` return.
    pub fn poll(
        &mut self,
        engine: &mut Engine,
        wait: Duration,
        tell: &mut dyn FnMut(Told<'_>) -> Result<()>,
    ) -> Result<Flow> {
        let moment = match self.session.next_time() {
            Some(next) => self.source.newest(next, wait)?,
            None => Moment::Ended,
        };
        let lost = match moment {
            Moment::Frame(frame) => {
                self.heard = Instant::now();
                let captured = self.clock.captured(frame.time, self.heard);
                if let Some(step) = self.session.take(engine, &frame)? {
                    tell(Told::Step { step, captured })?;
                }
                return Ok(Flow::GoesOn);
            }
            Moment::Ended => {
                self.finish(tell)?;
                return Ok(Flow::Over);
            }
            Moment::Lost(loss) => Some(loss),
            Moment::Waiting => None,
        };
        if let Some(loss) = &lost {
            tell(Told::Lost(loss))?;
        }
        if self.session.last().is_some() && self.heard.elapsed().as_secs_f64() > self.session.gap_s() + GRACE_S {
            self.finish(tell)?;
        }
        Ok(Flow::GoesOn)
    }

    /// Ends what goes on.
    ///
    /// # Errors
    /// What `tell` returns.
    pub fn finish(&mut self, tell: &mut dyn FnMut(Told<'_>) -> Result<()>) -> Result<()> {
        let Some(last) = self.session.last() else { return Ok(()) };
        let captured = self.clock.captured(last.time, Instant::now());
        tell(Told::Ended { events: self.session.finish(), captured })
    }

    /// Its session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Its session, to be changed.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What is known of the source.
    pub fn info(&self) -> &ClipInfo {
        self.source.info()
    }

    /// What happened to the source's frames.
    pub fn counts(&self) -> LiveCounts {
        self.source.counts()
    }
}

/// Stream time against the clock of this machine.
#[derive(Default)]
struct Clock {
    /// The earliest that stream time 0 can have been: the frame that came with the least delay says so.
    zero: Option<Instant>,
}

impl Clock {
    /// When a frame of stream time `time` was captured, that is at hand at `now`.
    fn captured(&mut self, time: Seconds, now: Instant) -> Instant {
        let passed = Duration::try_from_secs_f64(time).unwrap_or_default();
        let zero = now.checked_sub(passed).unwrap_or(now);
        let zero = *self.zero.insert(self.zero.map_or(zero, |known| known.min(zero)));
        (zero + passed).min(now)
    }
}
