//! Model and picture settings: the flags over the bundle's own values.

use std::str::FromStr;

use crate::bundle::manifest::{self, Manifest};
use crate::cli::args::{AttributesArg, DeviceArg, FitArg, MatrixArg, ModelArgs, PictureArgs, RotateArg};
use crate::config::{CategoryChoice, parse_size};
use crate::encoder::{Compute, Device};
use crate::error::{Error, Result};
use crate::preprocess::{Fit, PreprocessSpec, Roi};
use crate::recognition::{AttributeScores, Interaction, MAX_WINDOW, RecognitionSpec};
use crate::source::{Mask, Matrix, Rotation, SourceOptions, View};

/// Threads taken unasked; more than this gain little on one frame at a time.
const DEFAULT_MAX_THREADS: usize = 4;

/// How the model is run.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// What to answer with.
    pub categories: CategoryChoice,
    /// T, frames in a window.
    pub window: usize,
    /// Weight of the video branch, 0..=1.
    pub lambda: f32,
    /// How attribute sentences are made.
    pub attribute_scores: AttributeScores,
    /// Temperature of concept spotting, > 0.
    pub tau: f32,
    /// CPU threads, >= 1.
    pub threads: usize,
    /// What encodes frames.
    pub device: Device,
}

impl ModelSettings {
    /// Flags over the manifest's values. Whether the header takes the window is for the encoder to say.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag.
    pub fn new(args: &ModelArgs, manifest: &Manifest) -> Result<Self> {
        let window = args.window.unwrap_or(manifest.model.window);
        if !(1..=MAX_WINDOW).contains(&window) {
            return Err(Error::Usage(format!("--window {window}: give a number of frames from 1 to {MAX_WINDOW}")));
        }
        let lambda = args.lambda.unwrap_or(manifest.model.lambda);
        if !(0.0..=1.0).contains(&lambda) {
            return Err(Error::Usage(format!("--lambda {lambda}: give a weight from 0 to 1")));
        }
        let attribute_scores = attribute_scores(args.attributes, manifest)?;
        let tau = args.tau.unwrap_or(manifest.model.tau);
        if !(1e-4..=1e4).contains(&tau) {
            return Err(Error::Usage(format!("--tau {tau}: give a temperature above 0, as 0.01")));
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = args.threads.unwrap_or(cores.min(DEFAULT_MAX_THREADS));
        if !(1..=256).contains(&threads) {
            return Err(Error::Usage(format!("--threads {threads}: give a number from 1 to 256")));
        }
        let device = device(args.device)?;
        let categories = CategoryChoice::from_flag(args.categories.as_deref())?;
        Ok(Self { categories, window, lambda, attribute_scores, tau, threads, device })
    }

    /// What frame encoders compute with.
    pub fn compute(&self) -> Compute {
        Compute { threads: self.threads, device: self.device }
    }

    /// How embeddings are compared: these settings and the manifest's rest.
    pub fn recognition(&self, manifest: &Manifest) -> RecognitionSpec {
        let model = &manifest.model;
        RecognitionSpec {
            window: self.window,
            interaction: match model.interaction {
                manifest::Interaction::Vcs => Interaction::Vcs,
                manifest::Interaction::Dp => Interaction::Dp,
            },
            tau: self.tau,
            lambda: self.lambda,
            logit_scale: model.logit_scale,
            top_k: model.attributes_top_k,
            attribute_scores: self.attribute_scores,
        }
    }
}

/// The device of a flag, where it can be used.
fn device(asked: DeviceArg) -> Result<Device> {
    let device = match asked {
        DeviceArg::Auto => return Ok(Device::Auto),
        DeviceArg::Cpu => Device::Cpu,
        DeviceArg::Cuda => Device::Cuda,
        DeviceArg::Metal => Device::Metal,
    };
    device.check().map_err(|problem| Error::Usage(format!("--device {}: {problem}", device.name())))?;
    Ok(device)
}

/// As asked for, or as the bundle says.
fn attribute_scores(asked: AttributesArg, manifest: &Manifest) -> Result<AttributeScores> {
    let need = |file: &str, scores, remedy: &str| match manifest.lists(file) {
        true => Ok(scores),
        false => Err(Error::Usage(format!("--attributes: bundle {} has no {file}; {remedy}", manifest.name))),
    };
    match asked {
        AttributesArg::Auto => Ok(match manifest.attribute_scores() {
            manifest::AttributeScores::Composer => AttributeScores::Composer,
            manifest::AttributeScores::Mean => AttributeScores::Mean,
            manifest::AttributeScores::Tower => AttributeScores::Tower,
        }),
        AttributesArg::Tower => {
            need("text.onnx", AttributeScores::Tower, "export it with --keep-text, or leave --attributes out")
        }
        AttributesArg::Composer => need("composer.onnx", AttributeScores::Composer, "use --attributes mean or tower"),
        AttributesArg::Mean => Ok(AttributeScores::Mean),
    }
}

/// How pictures are read and cut.
#[derive(Clone, Debug)]
pub struct PictureSettings {
    /// How a picture becomes square.
    pub fit: Fit,
    /// Part of the upright picture that is looked at.
    pub roi: Option<Roi>,
    /// Bounds for the source.
    pub source: SourceOptions,
}

impl PictureSettings {
    /// Checks the flags.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flag.
    pub fn new(args: &PictureArgs) -> Result<Self> {
        let fit = match args.fit {
            FitArg::Crop => Fit::Crop,
            FitArg::Pad => Fit::Pad,
            FitArg::Stretch => Fit::Stretch,
        };
        let roi = args.roi.as_deref().map(Roi::from_str).transpose()?;
        if !(args.io_timeout.is_finite() && (0.1..=86_400.0).contains(&args.io_timeout)) {
            return Err(Error::Usage(format!("--io-timeout {}: give seconds, from 0.1 to 86400", args.io_timeout)));
        }
        let source = SourceOptions {
            spool_limit: parse_size("--spool-limit", &args.spool_limit)?,
            io_timeout_s: args.io_timeout,
            matrix: args.matrix.map(|matrix| match matrix {
                MatrixArg::Bt601 => Matrix::Bt601,
                MatrixArg::Bt709 => Matrix::Bt709,
                MatrixArg::Bt2020 => Matrix::Bt2020,
            }),
            view: View {
                masks: args.mask.iter().map(|mask| Mask::from_str(mask)).collect::<Result<_>>()?,
                rotate: match args.rotate {
                    RotateArg::None => Rotation::None,
                    RotateArg::Quarter => Rotation::Quarter,
                    RotateArg::Half => Rotation::Half,
                    RotateArg::ThreeQuarters => Rotation::ThreeQuarters,
                },
            },
            ..SourceOptions::default()
        };
        Ok(Self { fit, roi, source })
    }
}

/// What the manifest says of the crops that its encoder takes.
pub fn preprocess(manifest: &Manifest) -> PreprocessSpec {
    let manifest::Preprocess { resize, crop, mean, std } = manifest.preprocess;
    PreprocessSpec { resize, crop, mean, std }
}
