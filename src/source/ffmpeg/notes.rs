//! What `ffmpeg` writes to standard error: a note on each frame by its `showinfo` filter, and its troubles.

use crate::source::rate::ticks_to_seconds;
use crate::source::{Matrix, Seconds, redact};

/// One frame, as `showinfo` describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Note {
    /// The first frame is at 0.
    pub(super) time: Seconds,
    /// Width and height, upright.
    pub(super) size: (u32, u32),
    pub(super) full_range: bool,
    pub(super) matrix: Matrix,
}

/// Taken where a stream has neither times nor a rate.
const DEFAULT_STEP_S: Seconds = 0.04;
/// Most characters of a complaint that are kept.
const MAX_COMPLAINT: usize = 300;

/// Puts lines together to notes and complaints.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    /// Seconds a tick, as a fraction.
    time_base: Option<(u32, u32)>,
    step_s: Option<Seconds>,
    first: Option<i64>,
    last_time: Option<Seconds>,
    /// A note whose line on colours may still come.
    open: Option<Note>,
    /// The last error, credentials removed.
    pub(super) complaint: Option<String>,
    /// How many errors there were.
    pub(super) complaints: u64,
}

impl Notebook {
    /// Takes one line; returns the note that is complete with it.
    pub(super) fn line(&mut self, line: &str) -> Option<Note> {
        if !line.contains("showinfo") {
            self.complain(line);
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
            let mut note = self.open.take()?;
            note.full_range = range.starts_with("pc");
            note.matrix = match after(line, "color_space:").map(word) {
                Some("bt709") => Matrix::Bt709,
                Some("bt2020nc" | "bt2020c") => Matrix::Bt2020,
                _ => Matrix::Bt601,
            };
            return Some(note);
        }
        if let (Some(_), Some(pts), Some(size)) = (after(line, " n:"), after(line, " pts:"), after(line, " s:")) {
            let time = self.time(word(pts).parse().ok());
            let size = word(size).split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            let note = Note { time, size: size.unwrap_or_default(), full_range: false, matrix: Matrix::default() };
            // A version that says nothing of colours leaves the last note open until here.
            return self.open.replace(note);
        }
        None
    }

    /// The note left open at the end.
    pub(super) fn end(&mut self) -> Option<Note> {
        self.open.take()
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
        // Frames are shown in the order they come, whatever broken time stamps say.
        let time = self.last_time.map_or(time, |last| time.max(last));
        self.last_time = Some(time);
        time
    }

    fn complain(&mut self, line: &str) {
        let said = ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| after(line, level));
        if let Some(said) = said {
            self.complaints += 1;
            self.complaint = Some(redact(said).chars().take(MAX_COMPLAINT).collect());
        }
    }
}

/// What follows `key`, blanks left out.
fn after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.find(key).map(|at| line[at + key.len()..].trim_start())
}

/// Up to the next blank or comma.
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

    fn notes(lines: &str) -> (Vec<Note>, Notebook) {
        let mut book = Notebook::default();
        let mut notes: Vec<Note> = lines.lines().filter_map(|line| book.line(line)).collect();
        notes.extend(book.end());
        (notes, book)
    }

    #[test]
    fn times_are_exact_and_begin_at_zero() {
        let (notes, _) = notes(
            "[info] Stream #0:0: Video: h264\n\
             [Parsed_showinfo_0 @ 0x5] [info] config in time_base: 1/30000, frame_rate: 30000/1001\n\
             [Parsed_showinfo_0 @ 0x5] [info] n:   0 pts:   2002 pts_time:0.0667 pos: 910 fmt:yuv420p sar:0/1 s:640x480 i:P\n\
             [Parsed_showinfo_0 @ 0x5] [info] color_range:pc color_space:bt709 color_primaries:unknown\n\
             [Parsed_showinfo_0 @ 0x5] [info] n:   1 pts:   3003 pts_time:0.1 pos: 1 fmt:yuv420p sar:0/1 s:640x480 i:P\n\
             [Parsed_showinfo_0 @ 0x5] [info] color_range:tv color_space:unknown color_primaries:unknown\n",
        );
        assert_eq!(notes.len(), 2);
        assert_eq!((notes[0].time, notes[1].time), (0.0, 1001.0 / 30000.0));
        assert_eq!((notes[0].full_range, notes[0].matrix, notes[0].size), (true, Matrix::Bt709, (640, 480)));
        assert_eq!((notes[1].full_range, notes[1].matrix), (false, Matrix::Bt601));
    }

    #[test]
    fn frames_without_times_or_colours_still_count() {
        let (notes, _) = notes(
            "[Parsed_showinfo_0 @ 0x5] config in time_base: 1/25, frame_rate: 25/1\n\
             [Parsed_showinfo_0 @ 0x5] n:   0 pts:   NOPTS pts_time:NOPTS pos: 1 s:4x4 i:P\n\
             [Parsed_showinfo_0 @ 0x5] n:   1 pts:   NOPTS pts_time:NOPTS pos: 1 s:4x4 i:P\n",
        );
        assert_eq!(notes.iter().map(|n| n.time).collect::<Vec<_>>(), [0.0, 0.04]);
    }

    #[test]
    fn the_last_error_is_kept_without_secrets() {
        let (_, book) = notes(
            "[warning] no\n[rtsp @ 0x1] [error] method DESCRIBE failed\n[error] rtsp://me:secret@h/x: Unauthorized\n[info] done\n",
        );
        assert_eq!(book.complaint.as_deref(), Some("rtsp://h/x: Unauthorized"));
        assert_eq!(book.complaints, 2);
    }
}
