//! Several views of one clip.

use super::recognizer::Scores;
use crate::error::{Error, Result};

/// Scores of one clip seen in several views: moments times crops, in any order.
#[derive(Clone, Debug, Default)]
pub struct ViewAverage {
    views: usize,
    s_v: Vec<f64>,
    s_a: Vec<f64>,
    score: Vec<f64>,
    confidence: Vec<f64>,
}

impl ViewAverage {
    /// No views yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a view.
    ///
    /// # Errors
    /// Where it has other categories than the views before it.
    pub fn add(&mut self, view: &Scores) -> Result<()> {
        let parts = [(&mut self.s_v, &view.s_v), (&mut self.s_a, &view.s_a)];
        let more = [(&mut self.score, &view.score), (&mut self.confidence, &view.confidence)];
        for (sum, part) in parts.into_iter().chain(more) {
            if self.views == 0 {
                sum.resize(part.len(), 0.0);
            }
            if sum.len() != part.len() {
                return Err(Error::Internal("views of one clip were scored with different categories".into()));
            }
            sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        self.views += 1;
        Ok(())
    }

    /// Number of views.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Mean cosines with the categories, `[K]`.
    pub fn s_v(&self) -> Vec<f64> {
        self.mean(&self.s_v)
    }

    /// Mean cosines of attributes, `[K]`; empty without attributes.
    pub fn s_a(&self) -> Vec<f64> {
        self.mean(&self.s_a)
    }

    /// Mean over views of the softmaxed, fused scores, `[K]`.
    pub fn score(&self) -> Vec<f64> {
        self.mean(&self.score)
    }

    /// Mean confidences, `[K]`.
    pub fn confidence(&self) -> Vec<f64> {
        self.mean(&self.confidence)
    }

    /// What the reference's test.py ranks by: one more softmax over [`Self::score`]. The order is the same; it is
    /// f64, as two softmaxes without a scale leave differences near the rounding of f32.
    pub fn reference(&self) -> Vec<f64> {
        let mut scores = self.score();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: f64 = scores.iter().sum();
        scores.iter_mut().for_each(|x| *x /= sum);
        scores
    }

    fn mean(&self, sums: &[f64]) -> Vec<f64> {
        sums.iter().map(|sum| sum / self.views as f64).collect()
    }
}
