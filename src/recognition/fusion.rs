//! Softmax, the fusion of video and attribute scores, and several views of one clip.

use super::recognizer::Scores;
use crate::error::{Error, Result};
use crate::table::exp_all;

/// `out = softmax(scale * x)`, for finite `x` and a positive scale.
pub fn softmax(x: &[f32], scale: f32, out: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    exp_all(x, largest, scale, out);
    let sum: f64 = out.iter().copied().map(f64::from).sum();
    out.iter_mut().for_each(|x| *x = (f64::from(*x) / sum) as f32);
}

/// `out = lambda * softmax(scale * s_v) + (1 - lambda) * softmax(scale * s_a)`; `s_v` alone where `s_a` is empty.
///
/// With a scale of 1 these are the reference's scores (train.py and train_attributes.py take one softmax each of the
/// cosines, utils.py adds them): they rank categories and are nearly equal in size. `scratch` is as long as `s_a`.
pub(super) fn fuse(s_v: &[f32], s_a: &[f32], lambda: f32, scale: f32, scratch: &mut [f32], out: &mut [f32]) {
    softmax(s_v, scale, out);
    if s_a.is_empty() {
        return;
    }
    softmax(s_a, scale, scratch);
    for (out, attribute) in out.iter_mut().zip(scratch.iter()) {
        *out = lambda * *out + (1.0 - lambda) * attribute;
    }
}

/// The `count` largest scores with their places, largest first, equal ones by place.
pub fn top_n<T: Copy + PartialOrd>(scores: &[T], count: usize) -> Vec<(usize, T)> {
    let mut places: Vec<(usize, T)> = scores.iter().copied().enumerate().collect();
    // A stable sort keeps equal scores in order.
    places.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    places.truncate(count);
    places
}

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
