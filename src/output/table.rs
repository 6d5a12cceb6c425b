//! An answer on a terminal: ranked bars, saliency over time, attributes.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::json::output_error;
use super::{Answer, bar, sparkline};
use crate::error::Result;

const LABEL_WIDTH: usize = 34;
const BAR_WIDTH: usize = 24;
/// Columns that every terminal has, and where the text of a named line starts.
const WIDTH: usize = 80;
const INDENT: usize = 11;
const SPARK_WIDTH: usize = 24;
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const WINNER: Style = AnsiColor::Green.on_default().bold();
const OTHER: Style = AnsiColor::Cyan.on_default();

/// Writes answers for people.
pub struct Terminal<W: Write> {
    out: W,
}

impl<W: Write> Terminal<W> {
    /// Answers into `out`, which takes or strips the styles.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes one answer.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) or [`Error::PipeClosed`](crate::Error::PipeClosed).
    pub fn write(&mut self, answer: &Answer) -> Result<()> {
        self.try_write(answer).map_err(output_error)
    }

    fn try_write(&mut self, answer: &Answer) -> std::io::Result<()> {
        let out = &mut self.out;
        let frames = if answer.frames == 1 { "frame" } else { "frames" };
        let length = answer.duration_s.map_or(String::new(), |s| format!(", {s:.1} s"));
        writeln!(out, "{BOLD}{}{BOLD:#}  {DIM}{} {frames}{length}{DIM:#}", shown(&answer.input), answer.frames)?;
        for (rank, result) in answer.results.iter().enumerate() {
            let style = if rank == 0 { WINNER } else { OTHER };
            let label = fit(&result.label, LABEL_WIDTH);
            let bar = bar(result.confidence as f32, BAR_WIDTH);
            writeln!(out, "  {label} {style}{bar}{style:#} {:5.1} %", result.confidence * 100.0)?;
        }
        if let (Some(first), Some(last)) = (answer.saliency.first(), answer.saliency.last()) {
            let peak = answer.saliency.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).unwrap_or(first);
            // Neighbours share a character where there are more frames than columns for them.
            let share = answer.saliency.len().div_ceil(SPARK_WIDTH);
            let sums = answer.saliency.chunks(share).map(|points| points.iter().map(|p| p.weight as f32).sum());
            let line = sparkline(sums);
            write!(out, "  {:<9}{} {WINNER}{line}{WINNER:#} {}", "when", clock(first.t), clock(last.t))?;
            writeln!(out, "  {DIM}most at {} (frame {}){DIM:#}", clock(peak.t), peak.frame)?;
        }
        if !answer.attributes.is_empty() {
            let seen = answer.attributes.iter().map(|a| format!("{} {:.2}", shown(&a.phrase), a.similarity));
            for (row, line) in wrapped(seen, WIDTH - INDENT).into_iter().enumerate() {
                writeln!(out, "  {:<9}{line}", if row == 0 { "sees" } else { "" })?;
            }
        }
        let t = &answer.timing_ms;
        writeln!(
            out,
            "  {DIM}{:<9}{:.0} ms: load {:.0}, decode {:.0} and preprocess {:.0} beside encode {:.0}, recognise {:.1}{DIM:#}",
            "took", t.total, t.load, t.decode, t.preprocess, t.encode, t.recognise
        )?;
        out.flush()
    }
}

/// Text from outside without control characters, which could drive the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A label cut or padded to `width` characters.
fn fit(label: &str, width: usize) -> String {
    let label = shown(label);
    if label.chars().count() <= width {
        return format!("{label:<width$}");
    }
    let mut cut: String = label.chars().take(width - 1).collect();
    cut.push('…');
    cut
}

/// Items joined by commas into lines of at most `width` characters; an item that is longer stands alone.
fn wrapped(items: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            // Room for a comma and a space before the item and a comma after it.
            Some(line) if line.chars().count() + item.chars().count() + 3 <= width => *line += &format!(", {item}"),
            Some(line) => {
                line.push(',');
                lines.push(item);
            }
            None => lines.push(item),
        }
    }
    lines
}

/// `m:ss.s`
fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_round_to_tenths_and_carry() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(125.34), "2:05.3");
    }

    #[test]
    fn items_wrap_between_each_other() {
        let items = || ["one", "two", "three"].map(str::to_owned).into_iter();
        assert_eq!(wrapped(items(), 80), ["one, two, three"]);
        assert_eq!(wrapped(items(), 9), ["one, two,", "three"]);
        assert!(wrapped(items(), 1).len() == 3 && wrapped(std::iter::empty(), 1).is_empty());
    }

    #[test]
    fn labels_keep_their_column_and_cannot_drive_the_terminal() {
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(shown("a\u{1b}[2J"), "a\u{fffd}[2J");
    }
}
