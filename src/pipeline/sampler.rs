//! Which frames are looked at, decided by their times alone.

use super::trace::{TracePoint, TraceReader};
use crate::error::{Error, Result};
use crate::recognition::FrameStamp;
use crate::source::Seconds;

/// A frame this much before its sampling time still counts, as container clocks are rounded to milliseconds.
const CLOCK_TOLERANCE_S: Seconds = 0.0005;

/// Chooses frames.
pub struct Sampler {
    kind: Kind,
}

enum Kind {
    Stride { stride: Seconds, next: Seconds },
    Trace { reader: TraceReader, next: Option<TracePoint> },
}

impl Sampler {
    /// The first frame at or after each multiple of the stride: late frames do not shift the grid.
    ///
    /// # Errors
    /// [`Error::Usage`] for a stride that is not between 0.001 and 3600 s.
    pub fn every(stride: Seconds) -> Result<Self> {
        if !(0.001..=3600.0).contains(&stride) {
            return Err(Error::Usage(format!(
                "--stride {stride}: give seconds between sampled frames, from 0.001 to 3600"
            )));
        }
        Ok(Self { kind: Kind::Stride { stride, next: 0.0 } })
    }

    /// The frames of a trace, with the times that it gives them.
    ///
    /// # Errors
    /// As [`TraceReader::next_point`].
    pub fn repeat(mut reader: TraceReader) -> Result<Self> {
        let next = reader.next_point()?;
        Ok(Self { kind: Kind::Trace { reader, next } })
    }

    /// Changes the stride from the next sample on; nothing where a trace is repeated.
    ///
    /// # Errors
    /// As [`Sampler::every`].
    pub fn set_stride(&mut self, new: Seconds) -> Result<()> {
        if let Kind::Stride { stride, next } = &mut self.kind {
            let Kind::Stride { stride: checked, .. } = Self::every(new)?.kind else { return Ok(()) };
            // The newest sample lies at most one stride before `next`.
            *next = (*next - *stride + checked).max(0.0);
            *stride = checked;
        }
        Ok(())
    }

    /// No frame before this time is taken; `None` where no more will be.
    pub fn next_time(&self) -> Option<Seconds> {
        match &self.kind {
            Kind::Stride { next, .. } => Some(*next),
            // Frames are then told by their numbers, which only looking at each of them finds.
            Kind::Trace { next, .. } => next.map(|point| if point.frame.is_some() { 0.0 } else { point.t }),
        }
    }

    /// The stamp of a frame that is to be looked at; `None` for one that is not. Asked of frames in their order.
    ///
    /// # Errors
    /// A trace that cannot be read on, or a frame of it that the source does not have.
    pub fn take(&mut self, frame: FrameStamp) -> Result<Option<FrameStamp>> {
        match &mut self.kind {
            Kind::Stride { stride, next } => {
                if frame.time < *next - CLOCK_TOLERANCE_S {
                    return Ok(None);
                }
                *next = next_sample(frame.time, *stride);
                Ok(Some(FrameStamp { time: whole_micros(frame.time), ..frame }))
            }
            Kind::Trace { reader, next } => {
                let Some(point) = *next else { return Ok(None) };
                let due = match point.frame {
                    Some(index) if frame.index > index => {
                        return Err(Error::Usage(format!(
                            "--sample-at: the input goes from before frame {index} to frame {}; give the frames that \
                             the trace was made of",
                            frame.index
                        )));
                    }
                    Some(index) => frame.index == index,
                    None => frame.time >= point.t - CLOCK_TOLERANCE_S,
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

/// Whole microseconds: as text, a trace gives back the very same number. (17 digits come back with the last bit changed,
/// and then an event is told a step earlier or later.)
fn whole_micros(time: Seconds) -> Seconds {
    (time * 1e6).round() / 1e6
}

/// The first multiple of the stride after `time`.
fn next_sample(time: Seconds, stride: Seconds) -> Seconds {
    (((time + CLOCK_TOLERANCE_S) / stride).floor() + 1.0) * stride
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
    fn a_new_stride_counts_from_the_newest_sample() {
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
    fn a_trace_gives_back_the_very_times_that_were_sampled() {
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
    fn traces_that_cannot_be_are_refused() {
        for (text, told) in [
            ("{\"t\":1,\"frame\":4}\n{\"t\":2,\"frame\":4}\n", "line 2: times and frames must rise"),
            ("{\"t\":1}\n{\"t\":1}\n", "line 2: times and frames must rise"),
            ("{\"t\":-1}\n", "line 1: times"),
            ("{\"t\":1,\"x\":2}\n", "line 1: unknown field"),
            ("seconds\n", "line 1"),
        ] {
            let problem = trace(text).and_then(|mut s| s.take(FrameStamp { time: 9.0, index: 4 })).err();
            let problem = problem.expect(text).to_string();
            assert!(problem.contains(told), "{problem}");
        }
        let mut missing = trace("{\"t\":1,\"frame\":4}\n").unwrap();
        assert!(missing.take(FrameStamp { time: 9.0, index: 5 }).is_err());
    }
}
