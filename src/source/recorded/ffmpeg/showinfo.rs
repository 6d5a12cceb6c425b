//! Parses what `ffmpeg` writes to standard error: the `showinfo` filter's lines on each frame, and errors.

use crate::io::redact;
use crate::picture::Matrix;
use crate::units::{Seconds, ticks_to_seconds};

/// A frame as `showinfo` describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FrameInfo {
    /// Stream time; the first frame is at 0.
    pub(super) time: Seconds,
    /// Upright width and height.
    pub(super) size: (u32, u32),
    pub(super) full_range: bool,
    pub(super) matrix: Matrix,
}

/// Assumed if a stream has neither times nor a frame rate.
const DEFAULT_STEP_S: Seconds = 0.04;
/// Maximum length in characters of a stored error.
const MAX_ERROR: usize = 300;

/// Parses the log line by line.
#[derive(Debug, Default)]
pub(super) struct LogParser {
    /// Seconds per tick, as a fraction.
    time_base: Option<(u32, u32)>,
    step_s: Option<Seconds>,
    first: Option<i64>,
    last_time: Option<Seconds>,
    /// A frame whose line about colours may still follow.
    incomplete: Option<FrameInfo>,
    /// The last error, without credentials.
    pub(super) last_error: Option<String>,
    /// Number of errors.
    pub(super) errors: u64,
}

impl LogParser {
    /// Parses one line; returns a frame if it is complete with this line.
    pub(super) fn line(&mut self, line: &str) -> Option<FrameInfo> {
        if !line.contains("showinfo") {
            self.error(line);
            return None;
        }
        if let Some(base) = after(line, "config in time_base:") {
            self.time_base = fraction(base).filter(|(num, den)| *num > 0 && *den > 0);
            self.step_s = after(line, "frame_rate:")
                .and_then(fraction)
                .filter(|(num, den)| *num > 0 && *den > 0)
                .map(|(num, den)| f64::from(den) / f64::from(num));
            return None;
        }
        if let Some(range) = after(line, "color_range:") {
            let mut frame = self.incomplete.take()?;
            frame.full_range = range.starts_with("pc");
            frame.matrix = match after(line, "color_space:").map(word) {
                Some("bt709") => Matrix::Bt709,
                Some("bt2020nc" | "bt2020c") => Matrix::Bt2020,
                _ => Matrix::Bt601,
            };
            return Some(frame);
        }
        if let (Some(_), Some(pts), Some(size)) = (after(line, " n:"), after(line, " pts:"), after(line, " s:")) {
            let time = self.time(word(pts).parse().ok());
            let size = word(size).split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            let frame =
                FrameInfo { time, size: size.unwrap_or_default(), full_range: false, matrix: Matrix::default() };
            // Versions that do not print colours leave the last frame incomplete until here.
            return self.incomplete.replace(frame);
        }
        None
    }

    /// Returns the frame that is incomplete at the end.
    pub(super) fn finish(&mut self) -> Option<FrameInfo> {
        self.incomplete.take()
    }

    fn time(&mut self, pts: Option<i64>) -> Seconds {
        let step = self.step_s.unwrap_or(DEFAULT_STEP_S);
        let guess = self.last_time.map_or(0.0, |last| last + step);
        let time = match (pts, self.time_base) {
            (Some(pts), Some((num, den))) => {
                let first = *self.first.get_or_insert(pts);
                ticks_to_seconds((i128::from(pts) - i128::from(first)) * i128::from(num), den)
            }
            _ => guess,
        };
        // Frames are in display order even if their timestamps are wrong.
        let time = self.last_time.map_or(time, |last| time.max(last));
        self.last_time = Some(time);
        time
    }

    fn error(&mut self, line: &str) {
        let error = ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| after(line, level));
        if let Some(error) = error {
            self.errors += 1;
            self.last_error = Some(redact(error).chars().take(MAX_ERROR).collect());
        }
    }
}

/// The text after `key`, without leading spaces.
fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.find(key).map(|at| line[at + key.len()..].trim_start())
}

/// The text up to the next space or comma.
fn word(text: &str) -> &str {
    text.split([' ', ',']).next().unwrap_or("")
}

fn fraction(text: &str) -> Option<(u32, u32)> {
    let (num, den) = word(text).split_once('/')?;
    Some((num.parse().ok()?, den.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> (Vec<FrameInfo>, LogParser) {
        let mut parser = LogParser::default();
        let mut frames: Vec<FrameInfo> = lines.lines().filter_map(|line| parser.line(line)).collect();
        frames.extend(parser.finish());
        (frames, parser)
    }

    #[test]
    fn times_are_exact_and_start_at_zero() {
        let (frames, _) = parse(
            "[info] Stream #0:0: Video: h264\n\
             [Parsed_showinfo_0 @ 0x5] [info] config in time_base: 1/30000, frame_rate: 30000/1001\n\
             [Parsed_showinfo_0 @ 0x5] [info] n:   0 pts:   2002 pts_time:0.0667 pos: 910 fmt:yuv420p sar:0/1 s:640x480 i:P\n\
             [Parsed_showinfo_0 @ 0x5] [info] color_range:pc color_space:bt709 color_primaries:unknown\n\
             [Parsed_showinfo_0 @ 0x5] [info] n:   1 pts:   3003 pts_time:0.1 pos: 1 fmt:yuv420p sar:0/1 s:640x480 i:P\n\
             [Parsed_showinfo_0 @ 0x5] [info] color_range:tv color_space:unknown color_primaries:unknown\n",
        );
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].time, frames[1].time), (0.0, 1001.0 / 30000.0));
        assert_eq!((frames[0].full_range, frames[0].matrix, frames[0].size), (true, Matrix::Bt709, (640, 480)));
        assert_eq!((frames[1].full_range, frames[1].matrix), (false, Matrix::Bt601));
    }

    #[test]
    fn frames_without_times_or_colours_still_count() {
        let (frames, _) = parse(
            "[Parsed_showinfo_0 @ 0x5] config in time_base: 1/25, frame_rate: 25/1\n\
             [Parsed_showinfo_0 @ 0x5] n:   0 pts:   NOPTS pts_time:NOPTS pos: 1 s:4x4 i:P\n\
             [Parsed_showinfo_0 @ 0x5] n:   1 pts:   NOPTS pts_time:NOPTS pos: 1 s:4x4 i:P\n",
        );
        assert_eq!(frames.iter().map(|frame| frame.time).collect::<Vec<_>>(), [0.0, 0.04]);
    }

    #[test]
    fn the_last_error_is_stored_without_credentials() {
        let (_, parser) = parse(
            "[warning] no\n[rtsp @ 0x1] [error] method DESCRIBE failed\n[error] rtsp://me:secret@h/x: Unauthorized\n[info] done\n",
        );
        assert_eq!(parser.last_error.as_deref(), Some("rtsp://h/x: Unauthorized"));
        assert_eq!(parser.errors, 2);
    }
}
