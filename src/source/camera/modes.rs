//! What modes a camera offers, asked of its driver.

use v4l::v4l_sys::*;
use v4l::v4l2::vidioc;

use super::format::CameraFormat;
use super::info::{ModeInfo, SizeInfo};
use super::node::{Node, Plain};
use crate::source::Rate;

/// Most entries of any list that a driver may count up.
const MOST: u32 = 256;

/// Formats that are read here, with their sizes. `foreign` are the names of others.
pub(super) fn modes(node: &Node) -> (Vec<ModeInfo>, Vec<String>) {
    let (mut modes, mut foreign) = (Vec::<ModeInfo>::new(), Vec::new());
    for index in 0..MOST {
        let mut told = v4l2_fmtdesc { index, type_: node.dialect().kind(), ..v4l2_fmtdesc::zeroed() };
        if node.call(vidioc::VIDIOC_ENUM_FMT, &mut told).is_err() {
            break;
        }
        match CameraFormat::of_number(told.pixelformat) {
            Some(format) if modes.iter().all(|mode| mode.format != format) => {
                modes.push(ModeInfo { format, sizes: sizes(node, told.pixelformat) });
            }
            Some(_) => {}
            None => foreign.push(super::node::text(&told.pixelformat.to_le_bytes())),
        }
    }
    (modes, foreign)
}

fn sizes(node: &Node, pixel_format: u32) -> Vec<SizeInfo> {
    let mut sizes = Vec::new();
    for index in 0..MOST {
        let mut told = v4l2_frmsizeenum { index, pixel_format, ..v4l2_frmsizeenum::zeroed() };
        if node.call(vidioc::VIDIOC_ENUM_FRAMESIZES, &mut told).is_err() {
            break;
        }
        if told.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            // SAFETY: the type says which part of the union is set, and both are whole numbers.
            let size = unsafe { told.__bindgen_anon_1.discrete };
            let size = (size.width, size.height);
            if size.0 > 0 && size.1 > 0 {
                sizes.push(SizeInfo { min: size, max: size, step: (1, 1), rates: rates(node, pixel_format, size) });
            }
        } else {
            // SAFETY: as above.
            let range = unsafe { told.__bindgen_anon_1.stepwise };
            let (min, max) = ((range.min_width, range.min_height), (range.max_width, range.max_height));
            if min.0 > 0 && min.1 > 0 && min.0 <= max.0 && min.1 <= max.1 {
                let step = (range.step_width.max(1), range.step_height.max(1));
                let mut size = SizeInfo { min, max, step, rates: Vec::new() };
                size.rates = rates(node, pixel_format, size.nearest((640, 480)));
                sizes.push(size);
            }
            break;
        }
    }
    sizes
}

/// Frames a second that are offered for a size; of a range its ends and the usual ones between.
fn rates(node: &Node, pixel_format: u32, (width, height): (u32, u32)) -> Vec<f64> {
    let mut rates = Vec::new();
    for index in 0..MOST {
        let mut told = v4l2_frmivalenum { index, pixel_format, width, height, ..v4l2_frmivalenum::zeroed() };
        if node.call(vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut told).is_err() {
            break;
        }
        let rate = |interval: v4l2_fract| f64::from(interval.denominator) / f64::from(interval.numerator.max(1));
        if told.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            // SAFETY: the type says which part of the union is set, and both are whole numbers.
            rates.push(rate(unsafe { told.__bindgen_anon_1.discrete }));
        } else {
            // SAFETY: as above.
            let range = unsafe { told.__bindgen_anon_1.stepwise };
            let (slowest, fastest) = (rate(range.max), rate(range.min));
            rates.extend([5.0, 10.0, 15.0, 25.0, 30.0, 60.0].into_iter().filter(|r| (slowest..fastest).contains(r)));
            rates.push(fastest);
            break;
        }
    }
    rates.retain(|rate| rate.is_finite() && *rate > 0.0);
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// A rate as the interval that drivers take, and back.
pub(super) fn interval(fps: f64) -> v4l2_fract {
    if (fps - fps.round()).abs() < 1e-6 {
        v4l2_fract { numerator: 1, denominator: fps.round() as u32 }
    } else {
        v4l2_fract { numerator: 1001, denominator: (fps * 1001.0).round() as u32 }
    }
}

/// The rate of an interval, where the driver says one.
pub(super) fn rate_of(interval: v4l2_fract) -> Option<Rate> {
    (interval.numerator > 0 && interval.denominator > 0)
        .then_some(Rate { num: interval.denominator, den: interval.numerator })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_intervals_and_come_back() {
        for fps in [30.0, 15.0, 30000.0 / 1001.0, 7.5] {
            let rate = rate_of(interval(fps)).expect("a rate");
            assert!((rate.fps() - fps).abs() < 1e-3, "{fps}");
        }
        assert_eq!(rate_of(v4l2_fract { numerator: 0, denominator: 30 }), None);
    }
}
