//! Compares every kernel that this CPU can run with results in f64, for shapes at the edges of blocks.

use half::f16;

use super::available;
use super::loops::{Dot, Group, Kernels, Mix, SoftmaxSums};
use super::simd::LANES;

/// Returns pseudo-random numbers between -1 and 1 that depend only on the seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
    .take(count)
    .collect()
}

fn check_dot<E: Copy>(dot: fn(&Kernels) -> Dot<E>, convert: fn(f32) -> E, exact: fn(E) -> f64) {
    for width in [1, 2, 15, 16, 17, 31, 32, 48, 100, 512] {
        for rows in [1, 3, 4, 7, 8, 9, 21] {
            for vectors in [1, 2, 3, 4, 5, 8, 9] {
                let table: Vec<E> = numbers(rows * width, 1).into_iter().map(convert).collect();
                let x = numbers(vectors * width, 2);
                for kernels in available() {
                    let stride = rows + 3;
                    let mut out = vec![7.0; vectors * stride];
                    dot(&kernels)(&table, width, &x, &mut out, stride);
                    for v in 0..vectors {
                        for r in 0..rows {
                            let pairs = table[r * width..][..width].iter().zip(&x[v * width..][..width]);
                            let (mut truth, mut size) = (0.0, 1e-30);
                            for (row, x) in pairs {
                                let product = exact(*row) * f64::from(*x);
                                truth += product;
                                size += product.abs();
                            }
                            let error = (f64::from(out[v * stride + r]) - truth).abs();
                            assert!(
                                error <= 2e-6 * size,
                                "{}: width {width}, {r} of {rows}, {v}: {error}",
                                kernels.name
                            );
                        }
                        assert_eq!(out[v * stride + rows..][..3], [7.0; 3], "wrote beyond the rows");
                    }
                    let mut single = vec![0.0; rows];
                    dot(&kernels)(&table, width, &x[..width], &mut single, rows);
                    assert_eq!(single[..], out[..rows], "{}: results depend on the other vectors", kernels.name);
                }
            }
        }
    }
}

#[test]
fn dot_f32_agrees_with_f64_on_edge_shapes() {
    check_dot(|k| k.dot_f32, |x| x, f64::from);
}

#[test]
fn dot_f16_agrees_with_f64_on_edge_shapes() {
    check_dot(|k| k.dot_f16, f16::from_f32, f64::from);
}

#[test]
fn dot_i8_agrees_with_f64_on_edge_shapes() {
    check_dot(|k| k.dot_i8, |x| (x * 128.0) as i8, f64::from);
}

fn check_mix<E: Copy>(mix: fn(&Kernels) -> Mix<E>, convert: fn(f32) -> E, exact: fn(E) -> f64) {
    for width in [1, 2, 15, 16, 17, 31, 32, 71, 77] {
        for rows in [0, 1, 2, 17] {
            let table: Vec<E> = numbers(rows * width, 1).into_iter().map(convert).collect();
            let (factors, base) = (numbers(rows, 2), numbers(width, 3));
            for kernels in available() {
                let mut out = vec![7.0; width];
                mix(&kernels)(&table, &factors, &base, &mut out);
                for (i, out) in out.iter().enumerate() {
                    let terms = (0..rows).map(|j| exact(table[j * width + i]) * f64::from(factors[j]));
                    let (truth, size) = terms.fold((f64::from(base[i]), 1.0), |(t, s), x| (t + x, s + x.abs()));
                    let error = (f64::from(*out) - truth).abs();
                    assert!(error <= 1e-6 * size, "{}: width {width}, {rows} rows, {i}: {error}", kernels.name);
                }
            }
        }
    }
}

#[test]
fn mix_agrees_with_f64_on_edge_shapes() {
    check_mix(|k| k.mix_f32, |x| x, f64::from);
    check_mix(|k| k.mix_f16, f16::from_f32, f64::from);
    check_mix(|k| k.mix_i8, |x| (x * 128.0) as i8, f64::from);
}

#[test]
fn every_finite_f16_is_converted_exactly() {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|x| x.is_finite()).collect();
    for kernels in available() {
        let mut out = vec![0.0; halves.len()];
        (kernels.dot_f16)(&halves, 1, &[1.0], &mut out, halves.len());
        for (half, wide) in halves.iter().zip(&out) {
            assert_eq!(half.to_f32(), *wide, "{}", kernels.name);
        }
    }
}

#[test]
fn exp_is_within_1e_7_over_its_range() {
    let x: Vec<f32> = (0..=1_740_003).map(|i| -86.0 + i as f32 * 1e-4).collect();
    for kernels in available() {
        let mut out = vec![0.0; x.len()];
        (kernels.exp_all)(&x, 0.0, 1.0, &mut out);
        let worst =
            x.iter().zip(&out).map(|(x, y)| (f64::from(*y) / f64::from(*x).exp() - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 1.2e-7, "{}: {worst}", kernels.name);
        (kernels.exp_all)(&[-1e30, -87.0, f32::MIN], 0.0, 1.0, &mut out[..3]);
        assert!(out[..3].iter().all(|y| *y > 0.0 && *y < 1e-37), "{}", kernels.name);
    }
}

#[test]
fn exp_applies_shift_and_scale_for_any_length() {
    for kernels in available() {
        for count in [0, 1, 15, 16, 17, 33] {
            let x = numbers(count, 3);
            let mut out = vec![0.0; count];
            (kernels.exp_all)(&x, 0.25, 3.0, &mut out);
            for (x, y) in x.iter().zip(&out) {
                let truth = ((f64::from(*x) - 0.25) * 3.0).exp();
                assert!((f64::from(*y) / truth - 1.0).abs() < 1e-6, "{}", kernels.name);
            }
        }
    }
}

#[test]
fn softmax_sums_agree_with_f64_on_edge_shapes() {
    for count in [1, 2, 8, 63, 64] {
        for sizes in [vec![1], vec![16], vec![17, 1, 5], vec![77, 15, 33]] {
            let rows: usize = sizes.iter().sum();
            let stride = rows + LANES;
            let columns = numbers(count * stride, 4);
            let (mut groups, mut weights) = (Vec::new(), Vec::new());
            let mut first = 0;
            for size in &sizes {
                groups.push(Group { first, rows: *size, weights: weights.len() });
                weights.extend(numbers(*size, 5).iter().map(|x| x + 1.0));
                weights.resize(weights.len().next_multiple_of(LANES), 0.0);
                first += size;
            }
            for kernels in available() {
                let matrix = SoftmaxSums { columns: &columns, stride, count, weights: &weights, inverse_tau: 100.0 };
                let mut out = vec![0.0; sizes.len() * (count + 2)];
                (kernels.softmax_sums)(matrix, &groups, &mut out, count + 2);
                for (g, group) in groups.iter().enumerate() {
                    let mut truth = vec![0.0; count];
                    for j in 0..group.rows {
                        let x: Vec<f64> =
                            (0..count).map(|t| f64::from(columns[t * stride + group.first + j]) * 100.0).collect();
                        let largest = x.iter().copied().fold(f64::MIN, f64::max);
                        let sum: f64 = x.iter().map(|x| (x - largest).exp()).sum();
                        for (truth, x) in truth.iter_mut().zip(&x) {
                            *truth += f64::from(weights[group.weights + j]) * (x - largest).exp() / sum;
                        }
                    }
                    let total: f64 = truth.iter().sum();
                    for (t, truth) in truth.iter().enumerate() {
                        let error = (f64::from(out[g * (count + 2) + t]) - truth).abs();
                        assert!(error < 1e-5 * total, "{}: {count} columns, group {g}: {error}", kernels.name);
                    }
                }
            }
        }
    }
}
