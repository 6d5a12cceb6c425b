//! Figures in Prometheus's text form.

use std::fmt::{Display, Write};
use std::path::Path;

use crate::output::{Lasting, write_whole};

/// A text in the making.
#[derive(Default)]
pub(super) struct Metrics {
    text: String,
    /// The figure whose header was written last.
    name: &'static str,
}

/// What a figure does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Metrics {
    /// Adds a figure; those of one name follow each other.
    pub fn add(&mut self, kind: Kind, name: &'static str, help: &str, labels: &[(&str, &str)], value: impl Display) {
        // Writing to a String cannot fail.
        if self.name != name {
            self.name = name;
            let kind = if kind == Kind::Counter { "counter" } else { "gauge" };
            let _ = writeln!(self.text, "# HELP bike_edge_{name} {help}\n# TYPE bike_edge_{name} {kind}");
        }
        let _ = write!(self.text, "bike_edge_{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { "{" } else { "," };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{before}{label}=\"{text}\"");
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Replaces the file by this text.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        write_whole(path, self.text.as_bytes(), Lasting::Readers)
    }

    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_name_share_a_header_and_labels_are_escaped() {
        let mut metrics = Metrics::default();
        metrics.add(Kind::Counter, "steps_total", "Frames sampled.", &[("camera", "a")], 3);
        metrics.add(Kind::Counter, "steps_total", "Frames sampled.", &[("camera", "b\"\\\n")], 4);
        metrics.add(Kind::Gauge, "load", "Work over time.", &[], 0.5);
        assert_eq!(
            metrics.text(),
            "# HELP bike_edge_steps_total Frames sampled.\n# TYPE bike_edge_steps_total counter\n\
             bike_edge_steps_total{camera=\"a\"} 3\nbike_edge_steps_total{camera=\"b\\\"\\\\\\n\"} 4\n\
             # HELP bike_edge_load Work over time.\n# TYPE bike_edge_load gauge\nbike_edge_load 0.5\n"
        );
    }
}
