//! Prints an answer on a terminal: ranked bars, saliency over time, attributes.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::Answer;
use super::json::output_error;
use crate::error::Result;
use crate::io::printable;

const LABEL_WIDTH: usize = 34;
const BAR_WIDTH: usize = 24;
const SPARK_WIDTH: usize = 24;
/// The number of columns that every terminal has.
const WIDTH: usize = 80;
/// The column at which the text of a named line starts.
const INDENT: usize = 13;
/// The parts of a character cell, in eighths.
const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const WINNER: Style = AnsiColor::Green.on_default().bold();
const OTHER: Style = AnsiColor::Cyan.on_default();

/// Prints answers as tables.
pub struct Terminal<W: Write> {
    out: W,
}

impl<W: Write> Terminal<W> {
    /// Creates a printer to `out`, which must accept or strip the styles.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Prints one answer.
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
        writeln!(out, "{BOLD}{}{BOLD:#}  {DIM}{} {frames}{length}{DIM:#}", printable(&answer.input), answer.frames)?;
        for (rank, result) in answer.results.iter().enumerate() {
            let style = if rank == 0 { WINNER } else { OTHER };
            let label = fit(&result.label, LABEL_WIDTH);
            let bar = bar(result.confidence as f32, BAR_WIDTH);
            writeln!(out, "  {label} {style}{bar}{style:#} {:5.1} %", result.confidence * 100.0)?;
        }
        if let (Some(first), Some(last)) = (answer.saliency.first(), answer.saliency.last()) {
            let peak = answer.saliency.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)).unwrap_or(first);
            // Neighbouring frames share a character if there are more frames than columns.
            let per_column = answer.saliency.len().div_ceil(SPARK_WIDTH);
            let sums = answer.saliency.chunks(per_column).map(|points| points.iter().map(|p| p.weight as f32).sum());
            let line = sparkline(sums);
            write!(out, "  {:<11}{} {WINNER}{line}{WINNER:#} {}", "saliency", clock(first.t), clock(last.t))?;
            writeln!(out, "  {DIM}peak at {} (frame {}){DIM:#}", clock(peak.t), peak.frame)?;
        }
        if !answer.attributes.is_empty() {
            let attributes = answer.attributes.iter().map(|a| format!("{} {:.2}", printable(&a.phrase), a.similarity));
            for (row, line) in wrapped(attributes, WIDTH - INDENT).into_iter().enumerate() {
                writeln!(out, "  {:<11}{line}", if row == 0 { "attributes" } else { "" })?;
            }
        }
        let t = &answer.timing_ms;
        write!(out, "  {DIM}{:<11}{:.0} ms: load {:.0}, decode {:.0} and ", "time", t.total, t.load, t.decode)?;
        write!(out, "preprocess {:.0} in parallel with encode {:.0}, ", t.preprocess, t.encode)?;
        writeln!(out, "recognise {:.1}{DIM:#}", t.recognise)?;
        out.flush()
    }
}

/// Draws a bar of `width` cells, filled to `share` (0..=1).
fn bar(share: f32, width: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let eighths = (share * (width * 8) as f32).round() as usize;
    (0..width).map(|cell| EIGHTHS[eighths.saturating_sub(cell * 8).min(8)]).collect()
}

/// Draws one character per weight, the largest at full height.
fn sparkline(weights: impl IntoIterator<Item = f32> + Clone) -> String {
    let largest = weights.clone().into_iter().fold(0.0_f32, f32::max);
    let height = |weight: f32| {
        let share = if largest > 0.0 { (weight / largest).clamp(0.0, 1.0) } else { 0.0 };
        HEIGHTS[(share * (HEIGHTS.len() - 1) as f32).round() as usize]
    };
    weights.into_iter().map(height).collect()
}

/// Truncates or pads a label to `width` characters.
fn fit(label: &str, width: usize) -> String {
    let label = printable(label);
    if label.chars().count() <= width {
        return format!("{label:<width$}");
    }
    let mut short: String = label.chars().take(width - 1).collect();
    short.push('…');
    short
}

/// Joins items by commas into lines of at most `width` characters. A longer item gets a separate line.
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

/// Formats seconds as `m:ss.s`.
fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_from_empty_to_full() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(f32::NAN, 2), "  ");
        assert_eq!(bar(0.53125, 4), "██▏ ");
    }

    #[test]
    fn the_largest_weight_has_full_height() {
        assert_eq!(sparkline([0.0, 0.25, 0.5]), "▁▅█");
        assert_eq!(sparkline([0.0, 0.0]), "▁▁");
    }

    #[test]
    fn clocks_round_to_tenths_and_carry() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(125.34), "2:05.3");
    }

    #[test]
    fn lines_wrap_between_items() {
        let items = || ["one", "two", "three"].map(str::to_owned).into_iter();
        assert_eq!(wrapped(items(), 80), ["one, two, three"]);
        assert_eq!(wrapped(items(), 9), ["one, two,", "three"]);
        assert!(wrapped(items(), 1).len() == 3 && wrapped(std::iter::empty(), 1).is_empty());
    }

    #[test]
    fn labels_keep_their_column_and_cannot_control_the_terminal() {
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("a\u{1b}[2J", 6), "a [2J ");
    }
}
