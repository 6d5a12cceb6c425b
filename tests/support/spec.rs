//! Settings that tests and benchmarks share.

use bike_edge::recognition::{Interaction, RecognitionSpec, Scoring, SentenceMethod};

/// Settings of concept spotting over `window` frames without attributes.
pub fn spec(window: usize) -> RecognitionSpec {
    RecognitionSpec {
        window,
        interaction: Interaction::Vcs,
        tau: 0.01,
        lambda: 1.0,
        logit_scale: 100.0,
        scoring: Scoring::Share,
        top_k: 5,
        sentence_method: SentenceMethod::Mean,
    }
}
