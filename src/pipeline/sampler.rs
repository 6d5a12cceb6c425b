//! Chooses the frames to sample, only by their timestamps, and records the choice in traces.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::describe;
use crate::recognition::FrameStamp;
use crate::units::{Seconds, TIME_TOLERANCE_S};

/// Chooses the frames of a stream that are sampled.
pub struct Sampler {
    schedule: Schedule,
    /// No frame is sampled at or after this time.
    end: Option<Seconds>,
}

enum Schedule {
    Stride { stride: Seconds, next: Seconds },
    Trace { reader: TraceReader, next: Option<TracePoint> },
}

impl Sampler {
    /// Samples the first frame at or after each multiple of the stride. Late frames do not shift the grid.
    ///
    /// # Errors
    /// [`Error::Setting`] for a stride that is not between 0.001 and 3600 s.
    pub fn every(stride: Seconds) -> Result<Self> {
        check_stride(stride)?;
        Ok(Self { schedule: Schedule::Stride { stride, next: 0.0 }, end: None })
    }

    /// Samples the frames of a trace, with the times of the trace.
    ///
    /// # Errors
    /// As [`TraceReader::next_point`].
    pub fn repeat(mut reader: TraceReader) -> Result<Self> {
        let next = reader.next_point()?;
        Ok(Self { schedule: Schedule::Trace { reader, next }, end: None })
    }

    /// Ends sampling at a stream time.
    pub fn until(self, end: Seconds) -> Self {
        Self { end: Some(end), ..self }
    }

    /// Changes the stride from the next sample on. Has no effect on a trace.
    ///
    /// # Errors
    /// As [`Sampler::every`].
    pub fn set_stride(&mut self, new: Seconds) -> Result<()> {
        check_stride(new)?;
        if let Schedule::Stride { stride, next } = &mut self.schedule {
            // `next` is one old stride after the grid time of the newest sample, and becomes one new stride after it.
            *next = (*next - *stride + new).max(0.0);
            *stride = new;
        }
        Ok(())
    }

    /// The time before which no frame is sampled; `None` if no more frames will be.
    pub fn next_time(&self) -> Option<Seconds> {
        let next = match &self.schedule {
            Schedule::Stride { next, .. } => Some(*next),
            // Frames are then identified by their numbers, so each one must be read.
            Schedule::Trace { next, .. } => next.map(|point| if point.frame.is_some() { 0.0 } else { point.t }),
        };
        next.filter(|next| self.end.is_none_or(|end| *next < end))
    }

    /// Returns the stamp of a frame if it is sampled, else `None`. Call it with frames in their order.
    ///
    /// # Errors
    /// A trace that cannot be read, or one with a frame that the stream does not have.
    pub fn take(&mut self, frame: FrameStamp) -> Result<Option<FrameStamp>> {
        match &mut self.schedule {
            Schedule::Stride { stride, next } => {
                if frame.time < *next - TIME_TOLERANCE_S {
                    return Ok(None);
                }
                *next = next_sample(frame.time, *stride);
                Ok(Some(FrameStamp { time: whole_micros(frame.time), ..frame }))
            }
            Schedule::Trace { reader, next } => {
                let Some(point) = *next else { return Ok(None) };
                let due = match point.frame {
                    Some(index) if frame.index > index => {
                        return Err(Error::setting(
                            "replay_trace",
                            format!("the trace has frame {index}, and the input continues with frame {}", frame.index),
                            "give the input that the trace was recorded from",
                        ));
                    }
                    Some(index) => frame.index == index,
                    None => frame.time >= point.t - TIME_TOLERANCE_S,
                };
                if !due {
                    return Ok(None);
                }
                *next = reader.next_point()?;
                Ok(Some(FrameStamp { time: whole_micros(point.t), index: frame.index }))
            }
        }
    }
}

/// Rounds to whole microseconds, so that a trace, which is text, restores exactly the same number. (A number of 17
/// digits may be read with its last bit changed, and an event is then reported one step earlier or later.)
fn whole_micros(time: Seconds) -> Seconds {
    (time * 1e6).round() / 1e6
}

/// Returns the first multiple of the stride after `time`.
fn next_sample(time: Seconds, stride: Seconds) -> Seconds {
    (((time + TIME_TOLERANCE_S) / stride).floor() + 1.0) * stride
}

/// Checks a stride.
///
/// # Errors
/// [`Error::Setting`] for a stride that is not between 0.001 and 3600 s.
pub(super) fn check_stride(stride: Seconds) -> Result<()> {
    if (0.001..=3600.0).contains(&stride) {
        return Ok(());
    }
    Err(Error::setting(
        "stride_s",
        format!("{stride} is out of range"),
        "give seconds between sampled frames, from 0.001 to 3600",
    ))
}

/// Maximum length of a line of a trace, in bytes.
const MAX_LINE: u64 = 4096;

/// A sampled frame: one line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracePoint {
    /// Its stream time.
    pub t: Seconds,
    /// Its number, counted from 0. Without it the first frame at or after the time is sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
}

/// Writes a trace.
pub struct TraceWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl TraceWriter {
    /// Creates a trace file and replaces an existing one.
    ///
    /// # Errors
    /// [`Error::Output`] if the file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let out = File::create(path).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.into(), out: BufWriter::new(out) })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Error::Output`] for any I/O error.
    pub fn write(&mut self, point: TracePoint) -> Result<()> {
        serde_json::to_writer(&mut self.out, &point)
            .map_err(std::io::Error::from)
            .map_err(|e| failed(&self.path, &e))?;
        self.out.write_all(b"\n").map_err(|e| failed(&self.path, &e))
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// As [`TraceWriter::write`].
    pub fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|e| failed(&self.path, &e))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Output(format!("{}: the trace cannot be written: {error}", path.display()))
}

/// Reads a trace line by line.
pub struct TraceReader {
    name: String,
    from: Box<dyn BufRead + Send>,
    line: String,
    number: u64,
    last: Option<TracePoint>,
}

impl TraceReader {
    /// Opens a trace.
    ///
    /// # Errors
    /// [`Error::Input`] if the file cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| Error::input(&name, describe(&e)))?;
        Ok(Self::new(name, Box::new(BufReader::new(file))))
    }

    /// Reads a trace from any reader; errors call it `name`.
    pub fn new(name: String, from: Box<dyn BufRead + Send>) -> Self {
        Self { name, from, line: String::new(), number: 0, last: None }
    }

    /// Returns the next sampled frame; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Input`] naming a line that is malformed or goes back in time.
    pub fn next_point(&mut self) -> Result<Option<TracePoint>> {
        loop {
            self.line.clear();
            self.number += 1;
            let read = std::io::Read::take(&mut self.from, MAX_LINE).read_line(&mut self.line);
            if read.map_err(|e| self.error(e))? == 0 {
                return Ok(None);
            }
            if self.line.len() as u64 == MAX_LINE {
                return Err(self.error("is too long; a trace has lines like {\"t\":0.5,\"frame\":12}"));
            }
            if self.line.trim().is_empty() {
                continue;
            }
            let malformed = |e| self.error(format!("{e}; a trace has lines like {{\"t\":0.5,\"frame\":12}}"));
            let point: TracePoint = serde_json::from_str(&self.line).map_err(malformed)?;
            let follows = |last: TracePoint| point.t > last.t && (point.frame.is_none() || point.frame > last.frame);
            if !(point.t.is_finite() && point.t >= 0.0 && self.last.is_none_or(follows)) {
                return Err(self.error("times and frames must rise from line to line"));
            }
            self.last = Some(point);
            return Ok(Some(point));
        }
    }

    fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::input(&self.name, format!("line {}: {problem}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(sampler: &mut Sampler, times: &[Seconds]) -> Vec<(Seconds, u64)> {
        let stamps = times.iter().zip(0..).map(|(&time, index)| FrameStamp { time, index });
        stamps.filter_map(|stamp| sampler.take(stamp).unwrap()).map(|stamp| (stamp.time, stamp.index)).collect()
    }

    fn trace(text: &'static str) -> Result<Sampler> {
        Sampler::repeat(TraceReader::new("trace".into(), Box::new(text.as_bytes())))
    }

    #[test]
    fn samples_stay_on_the_grid_of_the_stride() {
        assert_eq!(next_sample(0.0, 1.25), 1.25);
        assert_eq!(next_sample(1.28, 1.25), 2.5);
        assert_eq!(next_sample(2.4997, 1.25), 3.75, "a rounded clock is not sampled twice");
        assert_eq!(next_sample(7.6, 1.25), 8.75, "a gap skips the steps it hides");
        let mut sampler = Sampler::every(0.5).unwrap();
        assert_eq!(sampled(&mut sampler, &[0.0, 0.3, 0.4996, 0.9, 2.1]), [(0.0, 0), (0.4996, 2), (2.1, 4)]);
    }

    #[test]
    fn a_new_stride_starts_at_the_grid_time_of_the_newest_sample() {
        let mut sampler = Sampler::every(1.0).unwrap();
        assert_eq!(sampled(&mut sampler, &[0.0, 1.0]), [(0.0, 0), (1.0, 1)]);
        sampler.set_stride(4.0).unwrap();
        assert_eq!(sampled(&mut sampler, &[2.0, 4.9, 5.0, 8.0]), [(5.0, 2), (8.0, 3)]);
        assert!(sampler.set_stride(f64::NAN).is_err() && Sampler::every(0.0).is_err());
    }

    #[test]
    fn a_trace_repeats_frames_by_number_and_gives_them_its_times() {
        let mut sampler = trace("{\"t\":0.1,\"frame\":1}\n\n{\"t\":0.35,\"frame\":3}\n").unwrap();
        assert_eq!(sampled(&mut sampler, &[0.0, 0.04, 0.08, 0.12, 0.16]), [(0.1, 1), (0.35, 3)]);
        assert_eq!(sampler.next_time(), None);
        let mut sampler = trace("{\"t\":0.1}\n{\"t\":0.2}").unwrap();
        assert_eq!(sampled(&mut sampler, &[0.0, 0.04, 0.12, 0.3]), [(0.1, 2), (0.2, 3)]);
    }

    #[test]
    fn a_trace_restores_exactly_the_sampled_times() {
        let mut state = 1_u64;
        for index in 1..2000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let time = (state >> 11) as f64 / (1_u64 << 53) as f64 * 1e6;
            let live = Sampler::every(0.5).unwrap().take(FrameStamp { time, index }).unwrap().unwrap();
            let line = serde_json::to_string(&TracePoint { t: live.time, frame: Some(index) }).unwrap();
            let text = Box::new(std::io::Cursor::new(line.into_bytes()));
            let mut repeated = Sampler::repeat(TraceReader::new("trace".into(), text)).unwrap();
            assert_eq!(repeated.take(FrameStamp { time, index }).unwrap(), Some(live));
        }
    }

    #[test]
    fn malformed_traces_are_refused() {
        for (text, expected) in [
            ("{\"t\":1,\"frame\":4}\n{\"t\":2,\"frame\":4}\n", "line 2: times and frames must rise"),
            ("{\"t\":1}\n{\"t\":1}\n", "line 2: times and frames must rise"),
            ("{\"t\":-1}\n", "line 1: times"),
            ("{\"t\":1,\"x\":2}\n", "line 1: unknown field"),
            ("seconds\n", "line 1"),
        ] {
            let problem = trace(text).and_then(|mut s| s.take(FrameStamp { time: 9.0, index: 4 })).err();
            let problem = problem.expect(text).to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        let mut missing = trace("{\"t\":1,\"frame\":4}\n").unwrap();
        assert!(missing.take(FrameStamp { time: 9.0, index: 5 }).is_err());
    }
}
