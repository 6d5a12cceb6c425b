//! The model, and what it answers with.

use std::ffi::OsString;

use clap::{Args, ValueEnum, ValueHint};

/// The model, and what it answers with.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Bundle folder or packed file; `embedded` is the one inside this binary.
    #[arg(long, value_name = "BUNDLE", default_value = "embedded", value_hint = ValueHint::AnyPath)]
    pub bundle: OsString,

    /// Categories to choose from, instead of the bundle's: names separated by commas, or a file with one name a
    /// line or a CSV with the columns id,name. Any phrase of the bundle's lexicon can be one; any text at all where the
    /// bundle has a text tower (`bundle inspect` says so).
    #[arg(long, value_name = "FILE|A,B,C")]
    pub categories: Option<OsString>,

    /// Frames in a window (T); a bundle with a temporal header may allow one value alone. [default: the bundle's]
    #[arg(long, value_name = "T")]
    pub window: Option<usize>,

    /// Weight of the video branch against the attribute branch, 0..1; 1 leaves attributes out. [default: the bundle's]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub lambda: Option<f32>,

    /// What makes the sentence of a window's attributes: the text `tower` of the bundle (exact; runs for every new set
    /// of phrases), its `composer` or the `mean` of the phrases (fast stand-ins), or what the bundle says.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub attributes: AttributesArg,

    /// Temperature of concept spotting; smaller trusts fewer frames. [default: the bundle's]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub tau: Option<f32>,

    /// CPU threads for the model. [default: this machine's cores, at most 4]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// What encodes frames: `auto` takes a GPU where this build can use one and it works, else the CPU. Builds are for
    /// the CPU unless made otherwise (docs/devices.md).
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceArg,
}

/// What encodes frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum DeviceArg {
    #[default]
    Auto,
    Cpu,
    Cuda,
    Metal,
}

/// What makes the sentence of a window's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum AttributesArg {
    #[default]
    Auto,
    Tower,
    Composer,
    Mean,
}
