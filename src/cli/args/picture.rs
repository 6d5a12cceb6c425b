//! How clips are read.

use clap::{Args, ValueEnum};

/// How clips are read.
#[derive(Args, Debug)]
#[command(next_help_heading = "Picture")]
pub struct PictureArgs {
    /// Look at this part of the picture alone, in pixels of the upright picture.
    #[arg(long, value_name = "X,Y,W,H", allow_hyphen_values = true)]
    pub roi: Option<String>,

    /// Black out this part before anything else sees the picture, in pixels of the upright picture; may be given again.
    #[arg(long, value_name = "X,Y,W,H", allow_hyphen_values = true)]
    pub mask: Vec<String>,

    /// Turn the picture clockwise by so many degrees.
    #[arg(long, value_name = "DEGREES", default_value = "0")]
    pub rotate: RotateArg,

    /// How a picture becomes square: `crop` the centre as BIKE does, `pad` it whole, or `stretch` it.
    #[arg(long, value_name = "HOW", default_value = "crop")]
    pub fit: FitArg,

    /// Largest temporary file for a clip that comes through a pipe, as 512M or 2G.
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub spool_limit: String,

    /// Matrix from YUV to RGB where the file does not say, or says it wrongly; y4m never says. [default: as tagged,
    /// else bt601]
    #[arg(long, value_name = "MATRIX")]
    pub matrix: Option<MatrixArg>,

    /// Seconds without a byte or frame after which a pipe, a stream or ffmpeg is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, allow_negative_numbers = true)]
    pub io_timeout: f64,
}

/// How a picture becomes square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum FitArg {
    Crop,
    Pad,
    Stretch,
}

/// Clockwise turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum RotateArg {
    #[default]
    #[value(name = "0")]
    None,
    #[value(name = "90")]
    Quarter,
    #[value(name = "180")]
    Half,
    #[value(name = "270")]
    ThreeQuarters,
}

/// Matrix from YUV to RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum MatrixArg {
    Bt601,
    Bt709,
    Bt2020,
}
