//! `doctor`

use clap::Args;

/// `doctor`
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Check this machine against a board's profile: auto, rpi4, rpi5, rk3588, jetson-orin or generic.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub profile: String,

    /// JSON instead of text.
    #[arg(long)]
    pub json: bool,
}
