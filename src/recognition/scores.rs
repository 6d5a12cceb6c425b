//! The scores of a window: softmax, fusion of both branches, ranks, and the mean over the views of a clip.

use ndarray::Array2;

use super::attributes::Attribute;
use super::spec::MAX_ATTRIBUTES;
use super::window::{FrameStamp, MAX_WINDOW};
use crate::error::{Error, Result};
use crate::table::exp_all;

/// The scores of a window, for K categories and T slots.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Cosines of the video branch, `[K]`.
    pub s_v: Vec<f32>,
    /// Cosines of the attribute branch, `[K]`; empty if lambda is 1 or there is no lexicon.
    pub s_a: Vec<f32>,
    /// BIKE's fused score, which ranks categories: `lambda * softmax(s_v) + (1 - lambda) * softmax(s_a)` without a
    /// scale, `[K]`.
    pub score: Vec<f32>,
    /// The same with the model's logit scale, which gives the confidences, `[K]`.
    pub confidence: Vec<f32>,
    /// The weight of each frame in each category's score, `[K, T]`, oldest frame first. Rows sum to 1; columns beyond
    /// the number of frames hold zeros. With plain dot products all frames have the same weight.
    pub saliency: Array2<f32>,
    /// The phrases nearest to the window, nearest first; empty without a lexicon.
    pub attributes: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
    /// The frames in the window, oldest first.
    pub frames: heapless::Vec<FrameStamp, MAX_WINDOW>,
    /// Whether the window is full. Before that, scores are for the n frames so far. A temporal header then gets frame
    /// `floor(i n / T)` as its input i, as BIKE samples clips of fewer than T frames.
    pub full: bool,
}

/// Computes `out = softmax(scale * x)` for finite `x` and a positive scale.
fn softmax(x: &[f32], scale: f32, out: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    exp_all(x, largest, scale, out);
    let sum: f64 = out.iter().copied().map(f64::from).sum();
    out.iter_mut().for_each(|x| *x = (f64::from(*x) / sum) as f32);
}

/// Computes `out = lambda * softmax(scale * s_v) + (1 - lambda) * softmax(scale * s_a)`, or `softmax(scale * s_v)` if
/// `s_a` is empty. `scratch` is as long as `s_a`.
///
/// With a scale of 1 these are the reference's scores (train.py and train_attributes.py take one softmax each of the
/// cosines, utils.py adds them). They rank categories, but differ little in size.
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

/// Computes confidences that depend on the background alone. With `b` the background categories, that of a category `k` is
/// `exp(scale * s[k]) / (exp(scale * s[k]) + sum over b of exp(scale * s[b]))`, and that of a background category its share
/// of the sum; both are fused over the branches like [`fuse`]. `background`, not empty, has a fixed order.
///
/// Each number is computed by itself, so that other categories change no bit of it.
pub(super) fn confidences_against_background(
    s_v: &[f32],
    s_a: &[f32],
    lambda: f32,
    scale: f32,
    background: &[usize],
    out: &mut [f32],
) {
    against_background(s_v, scale, background, out, |out, confidence| *out = confidence);
    if !s_a.is_empty() {
        against_background(s_a, scale, background, out, |out, confidence| {
            *out = lambda * *out + (1.0 - lambda) * confidence;
        });
    }
}

fn against_background(s: &[f32], scale: f32, background: &[usize], out: &mut [f32], put: impl Fn(&mut f32, f32)) {
    let scale = f64::from(scale);
    let largest = background.iter().map(|b| f64::from(s[*b])).fold(f64::NEG_INFINITY, f64::max);
    let exp = |s: f32| (scale * (f64::from(s) - largest)).exp();
    let sum: f64 = background.iter().map(|b| exp(s[*b])).sum();
    for (k, (out, s)) in out.iter_mut().zip(s).enumerate() {
        let own = exp(*s);
        let all = if background.contains(&k) { sum } else { own + sum };
        // Far above the background `own` overflows.
        put(out, if own.is_finite() { (own / all) as f32 } else { 1.0 });
    }
}

/// Returns the indices and values of the `count` largest scores, largest first, equal ones in order of their indices.
pub fn top_n<T: Copy + PartialOrd>(scores: &[T], count: usize) -> Vec<(usize, T)> {
    let mut ranked: Vec<(usize, T)> = scores.iter().copied().enumerate().collect();
    // A stable sort keeps equal scores in order.
    ranked.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    ranked.truncate(count);
    ranked
}

/// The mean of the scores of a clip's views (sets of frames times crop positions).
#[derive(Clone, Debug, Default)]
pub struct ViewAverage {
    views: usize,
    s_v: Vec<f64>,
    s_a: Vec<f64>,
    score: Vec<f64>,
    confidence: Vec<f64>,
}

impl ViewAverage {
    /// Creates a mean without views.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a view.
    ///
    /// # Errors
    /// Returns [`Error::Internal`] if it has different categories from the views before it.
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

    /// Returns the number of views.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Returns the mean cosines of the video branch, `[K]`.
    pub fn s_v(&self) -> Vec<f64> {
        self.mean(&self.s_v)
    }

    /// Returns the mean cosines of the attribute branch, `[K]`; empty without attributes.
    pub fn s_a(&self) -> Vec<f64> {
        self.mean(&self.s_a)
    }

    /// Returns the mean fused scores, `[K]`.
    pub fn score(&self) -> Vec<f64> {
        self.mean(&self.score)
    }

    /// Returns the mean confidences, `[K]`.
    pub fn confidence(&self) -> Vec<f64> {
        self.mean(&self.confidence)
    }

    /// Returns the scores that the reference's test.py ranks by: one more softmax over [`Self::score`], in the same
    /// order. They are f64, because after two softmaxes without a scale the differences are close to the rounding of
    /// f32.
    pub fn reference_score(&self) -> Vec<f64> {
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
