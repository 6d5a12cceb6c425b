//! Reads the frames that `ffmpeg` delivers, forward.

use std::cell::RefCell;
use std::io::BufReader;

use super::super::y4m::{Pipe, Y4mReader};
use super::super::{Reader, Wanted};
use super::child::{Process, TimedOutput};
use super::command::{Ffmpeg, Job, Output};
use super::showinfo::FrameInfo;
use crate::picture::{Picture, Pixels};
use crate::units::Seconds;
use crate::{Error, Result};

/// Maximum number of frames that are picked by index; if more are wanted, all are delivered, as expressions of ffmpeg's
/// `select` filter are limited to fewer than a hundred terms.
const MAX_PICKED: usize = 64;

/// Reads frames from `ffmpeg`.
pub(super) struct FfmpegReader {
    ffmpeg: Ffmpeg,
    input: String,
    plan: Plan,
    running: Option<Running>,
    warnings: Vec<String>,
}

enum Plan {
    /// Every frame is delivered.
    All,
    /// Only wanted frames are delivered. They are picked at the first `advance`, from the times of all frames.
    Pick { job: Option<Job>, times: Vec<Seconds>, picked: Vec<u64> },
}

struct Running {
    process: Process,
    y4m: Y4mReader<Pipe<BufReader<TimedOutput>>>,
    infos: InfoCursor,
}

/// The information on the newest frame.
#[derive(Default)]
struct InfoCursor {
    /// Number of frames whose information was received.
    received: u64,
    newest: Option<FrameInfo>,
}

impl InfoCursor {
    /// Returns the information on frame `index`, which must not be before the one requested last.
    fn advance_to(&mut self, index: u64, process: &mut Process) -> Result<Option<FrameInfo>> {
        while self.received <= index {
            self.newest = process.frames.next()?;
            if self.newest.is_none() {
                return Ok(None);
            }
            self.received += 1;
        }
        Ok(self.newest)
    }
}

impl FfmpegReader {
    /// Starts `ffmpeg` immediately and reads every frame.
    pub(super) fn all(ffmpeg: Ffmpeg, job: Job) -> Result<Self> {
        let mut reader =
            Self { input: job.input.clone(), ffmpeg, plan: Plan::All, running: None, warnings: Vec::new() };
        reader.start(job)?;
        Ok(reader)
    }

    /// Reads only wanted frames; `ffmpeg` is started when they are known. `times` are the times of all frames.
    pub(super) fn picked(ffmpeg: Ffmpeg, job: Job, times: Vec<Seconds>) -> Self {
        let plan = Plan::Pick { times, picked: Vec::new(), job: Some(job) };
        Self { input: String::new(), ffmpeg, plan, running: None, warnings: Vec::new() }
    }

    fn start(&mut self, job: Job) -> Result<()> {
        self.input.clone_from(&job.input);
        let mut process = self.ffmpeg.run(job)?;
        let output = Pipe(BufReader::with_capacity(1 << 16, process.output()?));
        match Y4mReader::new(&self.input, output, None, None) {
            Ok(y4m) => self.running = Some(Running { process, y4m, infos: InfoCursor::default() }),
            Err(e) => {
                // The last error that ffmpeg reported is the reason only if it has ended on its own.
                return Err(if process.frames.have_ended() { process.wait()?.no_frames(&self.input) } else { e });
            }
        }
        Ok(())
    }

    fn collect_warnings(&mut self) {
        if let Some(running) = &mut self.running {
            let more =
                running.process.outcome_so_far().warning().into_iter().chain(running.y4m.warnings().iter().cloned());
            for warning in more.collect::<Vec<_>>() {
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
        }
    }

    fn advance_all(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        let Some(Running { process, y4m, infos }) = &mut self.running else { return Ok(None) };
        let cell = RefCell::new((infos, process, None));
        let found = y4m.advance(&|index, _| {
            let (infos, process, failure) = &mut *cell.borrow_mut();
            match infos.advance_to(index, process) {
                Ok(Some(frame)) => wanted(index, frame.time),
                Ok(None) => false,
                Err(e) => {
                    *failure = Some(e);
                    true
                }
            }
        });
        let (infos, _, failure) = cell.into_inner();
        if let Some(e) = failure {
            return Err(e);
        }
        Ok(found?.and_then(|(index, _)| Some((index, infos.newest?.time))))
    }

    fn advance_picked(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        if let Plan::Pick { job, times, picked } = &mut self.plan
            && let Some(mut job) = job.take()
        {
            *picked = (0..).zip(times.iter()).filter(|(i, t)| wanted(*i, **t)).map(|(i, _)| i).collect();
            if picked.is_empty() {
                return Ok(None);
            }
            if picked.len() > MAX_PICKED {
                self.plan = Plan::All;
                job.output = Output::Frames { picked: Vec::new() };
            } else {
                job.output = Output::Frames { picked: picked.clone() };
            }
            self.start(job)?;
        }
        let (Plan::Pick { times, picked, .. }, Some(Running { process, y4m, infos })) = (&self.plan, &mut self.running)
        else {
            return self.advance_all(wanted);
        };
        let frame = |k: u64| {
            let index = *picked.get(k as usize)?;
            Some((index, *times.get(index as usize)?))
        };
        let Some((k, _)) = y4m.advance(&|k, _| frame(k).is_some_and(|(index, time)| wanted(index, time)))? else {
            return Ok(None);
        };
        let Some((index, time)) = frame(k) else { return Ok(None) };
        infos.advance_to(index, process)?;
        Ok(Some((index, time)))
    }
}

impl Reader for FfmpegReader {
    fn advance(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        let found = match self.plan {
            Plan::All => self.advance_all(wanted),
            Plan::Pick { .. } => self.advance_picked(wanted),
        };
        if !matches!(found, Ok(Some(_))) {
            self.collect_warnings();
        }
        found
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        let Some(running) = &mut self.running else {
            return Err(Error::Internal("a picture was requested before ffmpeg was started".into()));
        };
        let mut picture = running.y4m.picture()?;
        if let (Some(frame), Pixels::Yuv { full_range, matrix, .. }) = (running.infos.newest, &mut picture.pixels) {
            *full_range |= frame.full_range;
            *matrix = self.ffmpeg.matrix.unwrap_or(frame.matrix);
        }
        Ok(picture)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
