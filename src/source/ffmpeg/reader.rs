//! Frames that `ffmpeg` hands over, forward.

use std::cell::RefCell;
use std::io::BufReader;

use super::MAX_PICKED;
use super::child::{PatientOutput, Run};
use super::command::{Ffmpeg, Job, Output};
use super::notes::Note;
use crate::source::recorded::{Reader, Wanted};
use crate::source::y4m::{Pipe, Y4mReader};
use crate::source::{Picture, Pixels, Seconds};
use crate::{Error, Result};

/// Reads forward.
pub(super) struct FfmpegReader {
    ffmpeg: Ffmpeg,
    input: String,
    plan: Plan,
    going: Option<Going>,
    warnings: Vec<String>,
}

enum Plan {
    /// Every frame is handed over.
    All,
    /// Frames are picked at the first `advance`, as the times of all are known.
    Pick { job: Option<Job>, times: Vec<Seconds>, picked: Vec<u64> },
}

struct Going {
    run: Run,
    y4m: Y4mReader<Pipe<BufReader<PatientOutput>>>,
    noted: Noted,
}

/// The note on the frame last looked at.
#[derive(Default)]
struct Noted {
    /// Notes taken so far.
    taken: u64,
    note: Option<Note>,
}

impl Noted {
    /// The note on frame `index`, which is not before the last one asked for.
    fn of(&mut self, index: u64, run: &mut Run) -> Result<Option<Note>> {
        while self.taken <= index {
            self.note = run.notes.next()?;
            if self.note.is_none() {
                return Ok(None);
            }
            self.taken += 1;
        }
        Ok(self.note)
    }
}

impl FfmpegReader {
    /// Starts `ffmpeg` at once, for every frame.
    pub(super) fn all(ffmpeg: Ffmpeg, job: Job) -> Result<Self> {
        let mut reader = Self { input: job.input.clone(), ffmpeg, plan: Plan::All, going: None, warnings: Vec::new() };
        reader.start(job)?;
        Ok(reader)
    }

    /// `times` are those of all frames; `ffmpeg` is started when it is known which are wanted.
    pub(super) fn picked(ffmpeg: Ffmpeg, job: Job, times: Vec<Seconds>) -> Self {
        let plan = Plan::Pick { times, picked: Vec::new(), job: Some(job) };
        Self { input: String::new(), ffmpeg, plan, going: None, warnings: Vec::new() }
    }

    fn start(&mut self, job: Job) -> Result<()> {
        self.input.clone_from(&job.input);
        let mut run = self.ffmpeg.run(job)?;
        let output = Pipe(BufReader::with_capacity(1 << 16, run.output()?));
        match Y4mReader::new(&self.input, output, None, None) {
            Ok(y4m) => self.going = Some(Going { run, y4m, noted: Noted::default() }),
            Err(e) => {
                // Only where ffmpeg ended by itself is its last line the reason.
                return Err(if run.notes.are_over() { run.end()?.nothing(&self.input) } else { e });
            }
        }
        Ok(())
    }

    fn ended(&mut self) {
        if let Some(going) = &mut self.going {
            let more = going.run.so_far().warning().into_iter().chain(going.y4m.warnings().iter().cloned());
            for warning in more.collect::<Vec<_>>() {
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
        }
    }

    fn advance_all(&mut self, wanted: &Wanted<'_>) -> Result<Option<(u64, Seconds)>> {
        let Some(Going { run, y4m, noted }) = &mut self.going else { return Ok(None) };
        let cell = RefCell::new((noted, run, None));
        let found = y4m.advance(&|index, _| {
            let (noted, run, failure) = &mut *cell.borrow_mut();
            match noted.of(index, run) {
                Ok(Some(note)) => wanted(index, note.time),
                Ok(None) => false,
                Err(e) => {
                    *failure = Some(e);
                    true
                }
            }
        });
        let (noted, _, failure) = cell.into_inner();
        if let Some(e) = failure {
            return Err(e);
        }
        Ok(found?.and_then(|(index, _)| Some((index, noted.note?.time))))
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
        let (Plan::Pick { times, picked, .. }, Some(Going { run, y4m, noted })) = (&self.plan, &mut self.going) else {
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
        noted.of(index, run)?;
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
            self.ended();
        }
        found
    }

    fn picture(&mut self) -> Result<Picture<'_>> {
        let Some(going) = &mut self.going else {
            return Err(Error::Internal("a picture was asked of ffmpeg before it was started".into()));
        };
        let mut picture = going.y4m.picture()?;
        if let (Some(note), Pixels::Yuv { full_range, matrix, .. }) = (going.noted.note, &mut picture.pixels) {
            *full_range |= note.full_range;
            *matrix = self.ffmpeg.matrix.unwrap_or(note.matrix);
        }
        Ok(picture)
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
