//! Parses what `ffmpeg` writes to standard error: the lines of its `showinfo` filter about each frame, and errors.
//!
//! A line counts as one of `showinfo` only by its beginning, because other lines quote texts of the input.

use crate::io::{redact, redact_text_of};
use crate::picture::{Matrix, PixelAspect, Subsampling};
use crate::source::timeline::Timeline;
use crate::units::Seconds;

/// A frame that `ffmpeg` delivers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FrameInfo {
    /// Stream time; the first frame is at 0.
    pub(super) time: Seconds,
    /// The timestamp in ticks of the stream, if it has one.
    pub(super) stamp: Option<i64>,
    /// Width and height after rotation.
    pub(super) size: (u32, u32),
    /// `None` if the pixel format is none of those that were requested.
    pub(super) subsampling: Option<Subsampling>,
    pub(super) full_range: bool,
    pub(super) matrix: Matrix,
    pub(super) aspect: PixelAspect,
    /// Whether the filters were set up again before this frame, because the size or pixel format changed.
    pub(super) new_filters: bool,
}

/// What a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LogLine {
    /// It completes the information on a frame that is delivered.
    Frame(FrameInfo),
    /// A frame was decoded.
    Decoded,
    Other,
}

/// Start and end of the sentence with which `ffmpeg` asks for a file.
const REQUEST_START: &str = "If you want to help, upload a sample of this file to ";
const REQUEST_END: &str = "(ffmpeg-devel@ffmpeg.org)";

/// Part of the error about a format that is not among the allowed ones, which lists all of these.
const NOT_ALLOWED: &str = "Format not on whitelist";

/// Maximum number of stored errors, and the maximum length in characters of each.
const MAX_ERRORS: usize = 2;
const MAX_ERROR: usize = 300;

/// Parses the log line by line.
#[derive(Debug)]
pub(super) struct LogParser {
    /// The number of the `showinfo` filter whose frames are delivered.
    filter: usize,
    /// Seconds per tick, as a fraction.
    tick: Option<(u32, u32)>,
    timeline: Timeline,
    /// Whether the filters were set up, since the last frame.
    new_filters: bool,
    /// A frame whose line about colours may still follow.
    incomplete: Option<FrameInfo>,
    /// The first different errors, without credentials: those after them often only follow from them.
    pub(super) first_errors: Vec<String>,
    /// Number of errors.
    pub(super) errors: u64,
    /// The address that is read, which errors may quote.
    address: Option<String>,
}

impl LogParser {
    /// Creates a parser for delivered frames that pass the `showinfo` filter with this number in the chain of filters.
    pub(super) fn new(filter: usize) -> Self {
        Self {
            filter,
            tick: None,
            timeline: Timeline::new((1, 25), Some(1)),
            new_filters: false,
            incomplete: None,
            first_errors: Vec::new(),
            errors: 0,
            address: None,
        }
    }

    /// Removes every part of the address from errors.
    pub(super) fn for_address(self, address: String) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Parses one line.
    pub(super) fn line(&mut self, line: &str) -> LogLine {
        let Some((filter, text)) = showinfo_line(line) else {
            self.error(line);
            return LogLine::Other;
        };
        if let Some(base) = text.strip_prefix("config in time_base:")
            && (filter == self.filter || self.tick.is_none())
        {
            self.configure(base);
            return LogLine::Other;
        }
        if filter != self.filter {
            return if text.starts_with("n:") { LogLine::Decoded } else { LogLine::Other };
        }
        if text.starts_with("n:") {
            // Versions that do not print colours leave the last frame incomplete until here.
            let frame = self.frame(text);
            return self.incomplete.replace(frame).map_or(LogLine::Decoded, LogLine::Frame);
        } else if let Some(range) = text.strip_prefix("color_range:")
            && let Some(frame) = self.incomplete.take()
        {
            let matrix = match after(text, "color_space:").map(word) {
                Some("bt709") => Matrix::Bt709,
                Some("bt2020nc" | "bt2020c") => Matrix::Bt2020,
                _ => Matrix::Bt601,
            };
            let full_range = frame.full_range || range.starts_with("pc");
            return LogLine::Frame(FrameInfo { full_range, matrix, ..frame });
        }
        LogLine::Other
    }

    /// Returns the frame that is incomplete at the end.
    pub(super) fn finish(&mut self) -> Option<FrameInfo> {
        self.incomplete.take()
    }

    /// Describes what was corrected in the timestamps.
    pub(super) fn timeline_warning(&self) -> Option<String> {
        self.timeline.warning()
    }

    /// Returns a timeline for the same ticks and frame rate.
    pub(super) fn new_timeline(&self) -> Timeline {
        self.timeline.restarted()
    }

    /// Takes time base and frame rate from the line that every `showinfo` filter prints when the filters are set up.
    fn configure(&mut self, base: &str) {
        self.new_filters = true;
        let tick = fraction(base.trim_start()).filter(|(num, den)| *num > 0 && *den > 0);
        // Frames before any time base were timed without timestamps, and so are those after them.
        if tick.is_none() || self.tick.is_some() || self.timeline.has_begun() {
            return;
        }
        self.tick = tick;
        let rate = after(base, "frame_rate:").and_then(fraction).filter(|(num, den)| *num > 0 && *den > 0);
        if let Some((num, den)) = tick {
            let duration = rate.map(|(frames, seconds)| {
                let ticks = u128::from(seconds) * u128::from(den) / (u128::from(frames) * u128::from(num));
                i64::try_from(ticks).unwrap_or(i64::MAX)
            });
            self.timeline = Timeline::new((num, den), duration);
        }
    }

    fn frame(&mut self, text: &str) -> FrameInfo {
        let stamp = after(text, " pts:").and_then(|pts| word(pts).parse().ok());
        let size = after(text, " s:").and_then(|s| word(s).split_once('x'));
        let format = after(text, " fmt:").map_or("", word);
        let aspect = after(text, " sar:").and_then(fraction);
        FrameInfo {
            time: self.timeline.next(stamp.filter(|_| self.tick.is_some()), None),
            stamp,
            size: size.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))).unwrap_or_default(),
            subsampling: match format {
                "yuv420p" | "yuvj420p" => Some(Subsampling::S420),
                "yuv422p" | "yuvj422p" => Some(Subsampling::S422),
                "yuv444p" | "yuvj444p" => Some(Subsampling::S444),
                "gray" => Some(Subsampling::Gray),
                _ => None,
            },
            full_range: format.starts_with("yuvj"),
            matrix: Matrix::default(),
            aspect: aspect.map_or(PixelAspect::SQUARE, |(w, h)| PixelAspect::new(w, h)),
            new_filters: std::mem::take(&mut self.new_filters),
        }
    }

    fn error(&mut self, line: &str) {
        let error = ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| after(line, level));
        if let Some(error) = error {
            self.errors += 1;
            let error = if error.contains(NOT_ALLOWED) { "its format may name other files" } else { error };
            let error = self.address.as_ref().map_or_else(|| redact(error), |address| redact_text_of(address, error));
            let error: String = error.chars().take(MAX_ERROR).collect();
            // An error of a decoder comes before what it entails in ffmpeg itself.
            let entailed = !self.first_errors.is_empty() && line.starts_with("[error]");
            if self.first_errors.len() < MAX_ERRORS && !self.first_errors.contains(&error) && !entailed {
                self.first_errors.push(error);
            }
        }
    }
}

/// The number of the filter and the text of a line such as `[Parsed_showinfo_0 @ 0x55d0] [info] n: 0 pts: 0`.
fn showinfo_line(line: &str) -> Option<(usize, &str)> {
    // A request for samples ends without a line feed, so the first line of the first filter follows in the same line.
    if let Some((_, text)) = line.strip_prefix(REQUEST_START).and_then(|rest| rest.split_once(REQUEST_END)) {
        return Some((0, text));
    }
    let (filter, rest) = line.strip_prefix("[Parsed_showinfo_")?.split_once(" @ 0x")?;
    let (address, text) = rest.split_once("] ")?;
    if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    Some((filter.parse().ok()?, text.strip_prefix("[info] ").unwrap_or(text).trim_start()))
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
        let mut parser = LogParser::new(0);
        let mut frames: Vec<FrameInfo> = Vec::new();
        for line in lines.lines() {
            if let LogLine::Frame(frame) = parser.line(line) {
                frames.push(frame);
            }
        }
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
             [Parsed_showinfo_0 @ 0x5] [info] n:   1 pts:   3003 pts_time:0.1 pos: 1 fmt:yuv422p sar:4/3 s:640x480 i:P\n\
             [Parsed_showinfo_0 @ 0x5] [info] color_range:tv color_space:unknown color_primaries:unknown\n",
        );
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].time, frames[1].time), (0.0, 1001.0 / 30000.0));
        assert_eq!((frames[0].full_range, frames[0].matrix, frames[0].size), (true, Matrix::Bt709, (640, 480)));
        assert_eq!((frames[1].full_range, frames[1].matrix), (false, Matrix::Bt601));
        assert_eq!((frames[0].aspect, frames[1].aspect), (PixelAspect::SQUARE, PixelAspect::new(4, 3)));
        let subsampling: Vec<_> = frames.iter().map(|frame| frame.subsampling).collect();
        assert_eq!(subsampling, [Some(Subsampling::S420), Some(Subsampling::S422)]);
        assert_eq!(frames.iter().map(|frame| frame.new_filters).collect::<Vec<_>>(), [true, false]);
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
    fn a_time_base_after_the_first_frame_does_not_turn_time_back() {
        let frame = "[Parsed_showinfo_0 @ 0x5] n: 0 pts: 50 s:4x4\n".repeat(30);
        let (frames, _) =
            parse(&format!("{frame}[Parsed_showinfo_0 @ 0x5] config in time_base: 1/1000, frame_rate: 25/1\n{frame}"));
        assert_eq!(frames.len(), 60);
        assert!(frames.windows(2).all(|pair| pair[1].time > pair[0].time));
    }

    #[test]
    fn texts_of_the_input_are_no_frames() {
        for forged in [
            "[info]     title           : showinfo n: 1 pts: 93461 s:4x4",
            "[info]     title           : [Parsed_showinfo_0 @ 0x5] [info] n: 1 pts: 93461 s:4x4",
            " [Parsed_showinfo_0 @ 0x5] [info] n: 1 pts: 93461 s:4x4",
            "[Parsed_showinfo_0 @ 0xyz] [info] n: 1 pts: 93461 s:4x4",
            "[Parsed_showinfo_1 @ 0x5] [info] n: 1 pts: 93461 s:4x4",
        ] {
            assert!(parse(forged).0.is_empty(), "{forged}");
        }
    }

    #[test]
    fn the_first_errors_are_stored_without_credentials() {
        let (_, parser) = parse(
            "[warning] no\n[rtsp @ 0x1] [error] rtsp://me:secret@h/x: Unauthorized\n[error] Error marking filters as finished\n",
        );
        assert_eq!(parser.first_errors, ["rtsp://h/...: Unauthorized"]);
        assert_eq!(parser.errors, 2);
    }
}
