//! The metrics of the service, in the text format of Prometheus.

use std::fmt::{Display, Write};

use bike_edge::health::current_rss_bytes;

use super::camera_worker::{CameraWorker, Totals};
use super::turn::Service;

/// The text of the metrics file.
#[derive(Default)]
pub(super) struct Metrics {
    text: String,
    /// The metric whose header was written last.
    name: &'static str,
}

/// How a metric changes over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Metrics {
    /// Adds a metric; those of one name must follow each other.
    pub fn add(
        &mut self,
        kind: MetricKind,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        // Writing to a String cannot fail.
        if self.name != name {
            self.name = name;
            let kind = if kind == MetricKind::Counter { "counter" } else { "gauge" };
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

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl Service {
    /// Collects all metrics.
    pub fn metrics(&self) -> Metrics {
        use MetricKind::{Counter, Gauge};
        let mut m = Metrics::default();
        let bundle = &self.engine.bundle.manifest;
        let versions =
            [("version", env!("CARGO_PKG_VERSION")), ("bundle", &bundle.name), ("bundle_version", &bundle.version)];
        m.add(Gauge, "info", "The versions that run.", &versions, 1);
        m.add(Gauge, "up_seconds", "Time since the start.", &[], self.started.elapsed().as_secs());
        let written = self.event_log.status();
        m.add(Counter, "starts_total", "Starts since the state was created.", &[], written.starts);
        m.add(Counter, "lifetime_events_total", "Events ended since the state was created.", &[], written.ended);
        m.add(Gauge, "resident_bytes", "Resident memory.", &[], current_rss_bytes().unwrap_or(0));
        m.add(Gauge, "stride_seconds", "Time between sampled frames.", &[], self.stride());
        m.add(Gauge, "stride_factor", "Factor by which the governor stretches the stride.", &[], self.rate.factor());
        m.add(Counter, "governor_changes_total", "Changes of that factor.", &[], self.rate.changes());
        m.add(Gauge, "load", "Work of a step as a share of the stride.", &[], self.rate.load);
        if let Some(celsius) = self.rate.temperature_c {
            m.add(Gauge, "temperature_celsius", "The hottest thermal zone.", &[], celsius);
        }
        let lines = written.counts;
        m.add(Counter, "lines_total", "Event lines.", &[("result", "written")], lines.written);
        m.add(Counter, "lines_total", "Event lines.", &[("result", "lost")], lines.lost);
        m.add(Counter, "reloads_total", "Reloads of the configuration.", &[("result", "taken")], self.reloads.applied);
        m.add(
            Counter,
            "reloads_total",
            "Reloads of the configuration.",
            &[("result", "refused")],
            self.reloads.refused,
        );
        m.add(Gauge, "open_events", "Open events.", &[], written.open_events);
        self.camera_metrics(&mut m);
        m
    }

    fn camera_metrics(&self, m: &mut Metrics) {
        use MetricKind::{Counter, Gauge};
        let all: Vec<(&CameraWorker, Totals)> = self.cameras.iter().map(|camera| (camera, camera.totals())).collect();
        let mut each =
            |kind, name, help, label: Option<(&str, &str)>, value: &dyn Fn(&CameraWorker, &Totals) -> f64| {
                for (camera, totals) in &all {
                    let labels = [("camera", camera.settings.name.as_str()), label.unwrap_or_default()];
                    let labels = if label.is_some() { &labels[..] } else { &labels[..1] };
                    m.add(kind, name, help, labels, value(camera, totals));
                }
            };
        each(Gauge, "camera_up", "Whether the camera delivers frames.", None, &|camera, _| {
            f64::from(u8::from(self.is_up(camera)))
        });
        let frames = "Frames of the source, by what happened to them.";
        each(Counter, "frames_total", frames, Some(("what", "captured")), &|_, t| t.source.captured as f64);
        each(Counter, "frames_total", frames, Some(("what", "passed")), &|_, t| t.source.passed as f64);
        each(Counter, "frames_total", frames, Some(("what", "dropped")), &|_, t| t.source.dropped as f64);
        each(Counter, "frames_total", frames, Some(("what", "corrupt")), &|_, t| t.source.corrupt as f64);
        each(Counter, "frames_total", frames, Some(("what", "short")), &|_, t| t.source.short as f64);
        each(Counter, "timeouts_total", "Times that no frame came within the timeout.", None, &|_, t| {
            t.source.timeouts as f64
        });
        each(Counter, "losses_total", "Times that the connection to the camera was lost.", None, &|_, t| {
            t.losses as f64
        });
        each(Counter, "reconnects_total", "Times that the camera was connected again.", None, &|_, t| {
            t.source.reconnects as f64
        });
        each(Counter, "steps_total", "Frames sampled.", None, &|_, t| t.steps as f64);
        let gate = "Sampled frames, by the decision of the gate.";
        each(Counter, "gate_total", gate, Some(("verdict", "encode")), &|_, t| t.gate.encoded as f64);
        each(Counter, "gate_total", gate, Some(("verdict", "still")), &|_, t| t.gate.still as f64);
        each(Counter, "gate_total", gate, Some(("verdict", "dark")), &|_, t| t.gate.dark as f64);
        each(Counter, "gate_total", gate, Some(("verdict", "flat")), &|_, t| t.gate.flat as f64);
        each(Counter, "encode_seconds_total", "Time spent preprocessing and encoding.", None, &|_, t| {
            t.encoding.as_secs_f64()
        });
        each(Counter, "work_seconds_total", "Time spent on all stages.", None, &|_, t| t.processing_time.as_secs_f64());
        each(Counter, "events_total", "Events started.", None, &|_, t| t.events as f64);
        let not_opened = "Events not opened because 16 were open.";
        each(Counter, "events_not_opened_total", not_opened, None, &|_, t| t.not_opened as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_one_name_share_a_header_and_labels_are_escaped() {
        let mut metrics = Metrics::default();
        metrics.add(MetricKind::Counter, "steps_total", "Frames sampled.", &[("camera", "a")], 3);
        metrics.add(MetricKind::Counter, "steps_total", "Frames sampled.", &[("camera", "b\"\\\n")], 4);
        metrics.add(MetricKind::Gauge, "load", "Work over time.", &[], 0.5);
        assert_eq!(
            metrics.into_text(),
            "# HELP bike_edge_steps_total Frames sampled.\n# TYPE bike_edge_steps_total counter\n\
             bike_edge_steps_total{camera=\"a\"} 3\nbike_edge_steps_total{camera=\"b\\\"\\\\\\n\"} 4\n\
             # HELP bike_edge_load Work over time.\n# TYPE bike_edge_load gauge\nbike_edge_load 0.5\n"
        );
    }
}
