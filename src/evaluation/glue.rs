//! One stream of many labelled clips.

use std::ffi::OsString;

use super::held::Held;
use super::judge::Shown;
use crate::error::{Error, Result};
use crate::source::{ClipInfo, Frame, Seconds, SourceOptions, Stream, open_stream};

/// Frames a second while a picture is held.
const HELD_FPS: f64 = 25.0;

/// A clip of the stream.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The clip.
    pub input: OsString,
    /// Categories it shows, any of which is right; empty for none.
    pub categories: Vec<usize>,
}

/// How clips become a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glue {
    /// Seconds after which a clip is cut.
    pub most_s: Seconds,
    /// Seconds for which its last sampled picture is then held,
    pub hold_s: Seconds,
    /// with a camera's noise: each brightness moves by at most so many levels from frame to frame.
    pub noise: u8,
}

/// Clips one after another as one stream.
pub struct Glued {
    info: ClipInfo,
    pieces: std::vec::IntoIter<Piece>,
    options: SourceOptions,
    glue: Glue,
    part: Part,
    shown: Vec<Shown>,
    /// When the current part began.
    began: Seconds,
    /// The newest frame: kept, as it was, and as it is shown.
    kept: Option<(Held, Seconds)>,
    noisy: Option<Held>,
    frames: u64,
    warnings: Vec<String>,
}

enum Part {
    Clip(Box<dyn Stream>),
    Hold { from: Held, shown: u64 },
    Between,
}

impl Glued {
    /// A stream of `pieces`.
    pub fn new(pieces: Vec<Piece>, glue: Glue, options: SourceOptions) -> Self {
        let info = ClipInfo { format: "glued".into(), width: 0, height: 0, fps: None, duration_s: None };
        Self {
            info,
            pieces: pieces.into_iter(),
            options,
            glue,
            part: Part::Between,
            shown: Vec::new(),
            began: 0.0,
            kept: None,
            noisy: None,
            frames: 0,
            warnings: Vec::new(),
        }
    }

    /// What was shown so far, the current piece included, up to the newest frame.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// True where the newest frame is a held one.
    pub fn holds(&self) -> bool {
        self.noisy.is_some()
    }

    /// Moves on to the first frame at or after `t`; false at the end.
    fn advance(&mut self, t: Seconds) -> Result<bool> {
        loop {
            let since = t - self.began;
            match &mut self.part {
                Part::Clip(stream) => {
                    let next = match stream.first_at_or_after(since) {
                        Err(Error::Input { input, problem }) => {
                            self.warnings.push(format!("{input}: {problem}"));
                            None
                        }
                        other => other?,
                    };
                    if let Some(frame) = next.filter(|frame| frame.time < self.glue.most_s) {
                        self.kept = Some((Held::new(&frame.picture), self.began + frame.time));
                        self.noisy = None;
                        return Ok(self.see());
                    }
                    let length = stream.info().duration_s.filter(|length| length.is_finite());
                    let newest = self.kept.as_ref().map_or(self.began, |(_, time)| *time);
                    self.warnings.extend_from_slice(stream.warnings());
                    // A clip that does not say how long it is ends with its newest frame.
                    self.began = (self.began + length.unwrap_or(0.0).min(self.glue.most_s)).max(newest + 1e-3);
                    if let Some(shown) = self.shown.last_mut() {
                        shown.end = self.began;
                    }
                    self.part = match &self.kept {
                        Some((from, _)) if self.glue.hold_s > 0.0 => Part::Hold { from: from.clone(), shown: 0 },
                        _ => Part::Between,
                    };
                }
                Part::Hold { from, shown } => {
                    // Half a millisecond of tolerance, as every stream allows.
                    *shown = (*shown).max(((since - 0.0005) * HELD_FPS).ceil().max(0.0) as u64);
                    let time = *shown as f64 / HELD_FPS;
                    *shown += 1;
                    if time < self.glue.hold_s {
                        self.noisy = Some(from.with_noise(self.glue.noise, self.frames));
                        self.kept = Some((from.clone(), self.began + time));
                        return Ok(self.see());
                    }
                    self.began += self.glue.hold_s;
                    if let Some(shown) = self.shown.last_mut() {
                        shown.end = self.began;
                    }
                    self.part = Part::Between;
                }
                Part::Between => {
                    let Some(piece) = self.pieces.next() else { return Ok(false) };
                    self.kept = None;
                    match open_stream(&piece.input, &self.options) {
                        Ok(stream) => self.part = Part::Clip(stream),
                        Err(Error::Input { input, problem }) => {
                            self.warnings.push(format!("{input}: {problem}; left out"));
                            continue;
                        }
                        Err(other) => return Err(other),
                    }
                    self.shown.push(Shown { categories: piece.categories, start: self.began, end: self.began });
                }
            }
        }
    }

    fn see(&mut self) -> bool {
        self.frames += 1;
        if let (Some(shown), Some((_, time))) = (self.shown.last_mut(), &self.kept) {
            shown.end = *time;
        }
        true
    }
}

impl Stream for Glued {
    fn info(&self) -> &ClipInfo {
        &self.info
    }

    fn first_at_or_after(&mut self, t: Seconds) -> Result<Option<Frame<'_>>> {
        if !self.advance(t)? {
            return Ok(None);
        }
        let index = self.frames - 1;
        Ok(match (&self.kept, &self.noisy) {
            (Some((_, time)), Some(noisy)) => Some(Frame { index, time: *time, picture: noisy.picture() }),
            (Some((held, time)), None) => Some(Frame { index, time: *time, picture: held.picture() }),
            (None, _) => None,
        })
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
