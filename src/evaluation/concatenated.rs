//! Concatenates labelled clips to one stream, for measuring events.

use std::path::Path;

use super::labels::LabelledClip;
use super::matching::Segment;
use crate::error::{Error, Result};
use crate::picture::OwnedPicture;
use crate::source::{ClipInfo, Frame, SourceOptions, Stream, open_stream};
use crate::units::{Seconds, TIME_TOLERANCE_S};

/// Frames per second while a picture is held.
const HOLD_FPS: f64 = 25.0;

/// How clips are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcatenationSpec {
    /// Seconds after which a clip is truncated.
    pub max_clip_s: Seconds,
    /// Seconds for which the last sampled picture of a clip is held afterwards.
    pub hold_s: Seconds,
    /// Camera noise on a held picture: the largest change of a pixel's brightness from frame to frame, in levels.
    pub noise: u8,
}

/// Clips one after another as one stream.
pub struct ConcatenatedStream {
    info: ClipInfo,
    clips: std::vec::IntoIter<LabelledClip>,
    options: SourceOptions,
    spec: ConcatenationSpec,
    part: StreamPart,
    segments: Vec<Segment>,
    holds: Vec<(Seconds, Seconds)>,
    /// Stream time at which the current part started.
    part_start: Seconds,
    /// The newest frame: its picture without noise, and its stream time.
    newest: Option<(OwnedPicture, Seconds)>,
    /// The newest frame with noise, if it is held.
    noisy: Option<OwnedPicture>,
    frames: u64,
    warnings: Vec<String>,
}

enum StreamPart {
    Clip(Box<dyn Stream>),
    Hold { picture: OwnedPicture, shown: u64 },
    Between,
}

impl ConcatenatedStream {
    /// Joins `clips`, none of which is opened yet.
    pub fn new(clips: Vec<LabelledClip>, spec: ConcatenationSpec, options: SourceOptions) -> Self {
        let info = ClipInfo { format: "concatenated".into(), width: 0, height: 0, fps: None, duration_s: None };
        Self {
            info,
            clips: clips.into_iter(),
            options,
            spec,
            part: StreamPart::Between,
            segments: Vec::new(),
            holds: Vec::new(),
            part_start: 0.0,
            newest: None,
            noisy: None,
            frames: 0,
            warnings: Vec::new(),
        }
    }

    /// What was shown so far, one segment per clip, up to the newest frame.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns whether a frame of the stream time `t`, which was read before, was a held picture.
    pub fn is_held(&self, t: Seconds) -> bool {
        self.holds.iter().any(|(first, last)| (*first..=*last).contains(&t))
    }

    /// Moves to the first frame at or after `t`; false at the end.
    fn advance(&mut self, t: Seconds) -> Result<bool> {
        loop {
            let since = t - self.part_start;
            match &mut self.part {
                StreamPart::Clip(stream) => {
                    let next = match stream.first_at_or_after(since) {
                        Err(Error::Input { input, problem }) => {
                            self.warnings.push(format!("{input}: {problem}"));
                            None
                        }
                        other => other?,
                    };
                    if let Some(frame) = next.filter(|frame| frame.time < self.spec.max_clip_s) {
                        self.newest = Some((OwnedPicture::copy_of(&frame.picture)?, self.part_start + frame.time));
                        self.noisy = None;
                        self.extend_segment();
                        return Ok(true);
                    }
                    let length = stream.info().duration_s.filter(|length| length.is_finite());
                    let newest = self.newest.as_ref().map_or(self.part_start, |(_, time)| *time);
                    self.warnings.extend_from_slice(stream.warnings());
                    // A clip of unknown length ends with its newest frame.
                    self.part_start =
                        (self.part_start + length.unwrap_or(0.0).min(self.spec.max_clip_s)).max(newest + 1e-3);
                    self.end_segment();
                    self.part = match &self.newest {
                        Some((picture, _)) if self.spec.hold_s > 0.0 => {
                            StreamPart::Hold { picture: picture.clone(), shown: 0 }
                        }
                        _ => StreamPart::Between,
                    };
                }
                StreamPart::Hold { picture, shown } => {
                    // The same tolerance as in every stream.
                    *shown = (*shown).max(((since - TIME_TOLERANCE_S) * HOLD_FPS).ceil().max(0.0) as u64);
                    let time = *shown as f64 / HOLD_FPS;
                    *shown += 1;
                    if time < self.spec.hold_s {
                        let now = self.part_start + time;
                        self.noisy = Some(with_noise(picture, self.spec.noise, self.frames));
                        self.newest = Some((picture.clone(), now));
                        match self.holds.last_mut() {
                            Some((first, last)) if *first >= self.part_start => *last = now,
                            _ => self.holds.push((now, now)),
                        }
                        self.extend_segment();
                        return Ok(true);
                    }
                    self.part_start += self.spec.hold_s;
                    self.end_segment();
                    self.part = StreamPart::Between;
                }
                StreamPart::Between => {
                    let Some(clip) = self.clips.next() else { return Ok(false) };
                    self.newest = None;
                    if self.open(&clip.path)? {
                        let (start, end) = (self.part_start, self.part_start);
                        self.segments.push(Segment { categories: clip.categories, start, end });
                    }
                }
            }
        }
    }

    /// Opens a clip; false, with a warning, if it cannot be read.
    fn open(&mut self, path: &Path) -> Result<bool> {
        match open_stream(path.as_os_str(), &self.options) {
            Ok(stream) => {
                self.part = StreamPart::Clip(stream);
                Ok(true)
            }
            Err(Error::Input { input, problem }) => {
                self.warnings.push(format!("{input}: {problem}; skipped"));
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }

    fn extend_segment(&mut self) {
        self.frames += 1;
        if let (Some(segment), Some((_, time))) = (self.segments.last_mut(), &self.newest) {
            segment.end = *time;
        }
    }

    fn end_segment(&mut self) {
        if let Some(segment) = self.segments.last_mut() {
            segment.end = self.part_start;
        }
    }
}

impl Stream for ConcatenatedStream {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        if !self.advance(t)? {
            return Ok(None);
        }
        let index = self.frames - 1;
        Ok(self.newest.as_ref().map(|(picture, time)| {
            let picture = self.noisy.as_ref().unwrap_or(picture).as_picture();
            Frame { index, time: *time, picture }
        }))
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Adds a camera's noise: changes each brightness by at most `levels`, differently for each `seed`.
fn with_noise(picture: &OwnedPicture, levels: u8, seed: u64) -> OwnedPicture {
    let mut noisy = picture.clone();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let steps = u64::from(levels) + 1;
    let [brightness, ..] = noisy.planes_mut();
    for byte in brightness {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The difference of two uniform numbers, so that small changes are likelier than large ones.
        let (up, down) = ((((state >> 32) & 0xffff) * steps) >> 16, ((state >> 48) * steps) >> 16);
        *byte = byte.saturating_add(up as u8).saturating_sub(down as u8);
    }
    noisy
}
