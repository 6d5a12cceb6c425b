//! When a category becomes an event.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// When a category becomes an event.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Events")]
pub struct EventArgs {
    /// Settings of events from a TOML file, also for single categories; flags stand over it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub thresholds: Option<PathBuf>,

    /// Smoothed confidence at which an event begins, 0..1. [default: 0.28]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub on: Option<f32>,

    /// Smoothed confidence below which it ends. [default: 0.7 of --on]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub off: Option<f32>,

    /// Time constant with which confidences are smoothed. [default: 1]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub smoothing: Option<f64>,

    /// How long an event must go on before it is told. [default: 3]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub min_length: Option<f64>,

    /// How long after an event no other of its category begins. [default: 2]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub cool_down: Option<f64>,

    /// Seconds between updates of an event that goes on, 0 for none. [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub update: Option<f64>,

    /// Categories that mean "nothing of interest", separated by commas: never events, and they end others. [default:
    /// the bundle's, those among the categories]
    #[arg(long, value_name = "A,B,C")]
    pub background: Option<String>,
}
