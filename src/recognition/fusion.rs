//! Softmax, ranks, and the fusion of video and attribute scores.

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
