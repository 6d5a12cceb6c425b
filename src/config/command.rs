//! The settings of one command: its flags, which override a thresholds file.

use std::path::Path;

use bike_edge::events::EventSpec;
use bike_edge::picture::PictureTransform;
use bike_edge::pipeline::{ClipSampling, ClipSpec, FollowSpec, GateSpec, ModelSpec, SessionSpec};
use bike_edge::preprocess::RegionSpec;
use bike_edge::source::{CaptureRequest, LiveOptions, ReadSpec, SourceOptions};
use bike_edge::{Error, Result};
use toml::{Table, Value};

use super::layers::{Layers, Origin};
use super::spec_table::{check_event_keys, read_spec, read_spec_of_shared_section};

/// The settings of a command.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The model.
    pub model: ModelSpec,
    /// When a category becomes an event.
    pub events: EventSpec,
    /// When a frame is not encoded.
    pub gate: GateSpec,
    /// Which frames of a clip are scored.
    pub sampling: ClipSampling,
    /// The mode that is requested from a camera.
    pub capture: CaptureRequest,
    /// The region that is analysed, and how it becomes square.
    pub region: RegionSpec,
    /// Whether moving regions are analysed in place of the whole picture.
    pub follow: FollowSpec,
    /// How inputs are opened.
    pub source: SourceOptions,
    /// Where each value comes from.
    pub layers: Layers,
}

impl CommandSettings {
    /// Merges two sources of settings: the thresholds file, and over it `flags`, a table of keys as in the configuration
    /// file. Its section `camera` holds the settings of the input.
    ///
    /// # Errors
    /// [`Error::Setting`] with the path of an invalid value from a flag, [`Error::Input`] with the line of an invalid
    /// value in the thresholds file.
    pub fn resolve(flags: Table, thresholds: Option<&Path>) -> Result<Self> {
        let mut layers = Layers::default();
        if let Some(thresholds) = thresholds {
            layers.push_file(thresholds, Some("events"))?;
        }
        layers.push(Origin::Flags, flags);
        let settings = Self::read(layers.merged()).map_err(|e| layers.locate(e))?;
        Ok(Self { layers, ..settings })
    }

    fn read(mut all: Table) -> Result<Self> {
        if let Some(Value::Table(events)) = all.get("events") {
            check_event_keys("events", events)?;
        }
        let mut camera = remove(&mut all, "camera");
        let read: ReadSpec = read_spec_of_shared_section("camera", &mut camera)?;
        let transform: PictureTransform = read_spec_of_shared_section("camera", &mut camera)?;
        let settings = Self {
            model: read_spec("model", &remove(&mut all, "model"))?,
            events: read_spec("events", &remove(&mut all, "events"))?,
            gate: read_spec("gate", &remove(&mut all, "gate"))?,
            sampling: read_spec("sampling", &remove(&mut all, "sampling"))?,
            capture: read_spec_of_shared_section("camera", &mut camera)?,
            region: read_spec_of_shared_section("camera", &mut camera)?,
            follow: read_spec_of_shared_section("camera", &mut camera)?,
            source: SourceOptions { read, transform, ..SourceOptions::default() },
            layers: Layers::default(),
        };
        // Every flag must belong to a spec.
        if let Some(key) = camera.keys().chain(all.keys()).next() {
            return Err(Error::Internal(format!("the setting {key} has no spec")));
        }
        settings.model.check().map_err(|e| e.within("model"))?;
        settings.events.check().map_err(|e| e.within("events"))?;
        settings.gate.check().map_err(|e| e.within("gate"))?;
        settings.capture.check().map_err(|e| e.within("camera"))?;
        settings.follow.check().map_err(|e| e.within("camera"))?;
        settings.source.read.check().map_err(|e| e.within("camera"))?;
        settings.sampling.check(settings.region.fit).map_err(|e| e.within("sampling"))?;
        Ok(settings)
    }

    /// How clips are read and sampled.
    pub fn clip_spec(&self) -> ClipSpec {
        ClipSpec { source: self.source.clone(), region: self.region, sampling: self.sampling.clone() }
    }

    /// The settings of the stream of the camera with this name.
    pub fn session_spec(&self, camera: &str) -> SessionSpec {
        SessionSpec {
            camera: camera.to_owned(),
            region: self.region,
            events: self.events.clone(),
            gate: self.gate,
            follow: self.follow,
            ..SessionSpec::default()
        }
    }

    /// How live sources are opened.
    pub fn live_options(&self) -> LiveOptions {
        LiveOptions { source: self.source.clone(), capture: self.capture, ..LiveOptions::default() }
    }
}

fn remove(all: &mut Table, section: &str) -> Table {
    match all.remove(section) {
        Some(Value::Table(table)) => table,
        _ => Table::new(),
    }
}
