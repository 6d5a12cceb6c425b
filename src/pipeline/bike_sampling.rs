//! Chooses the frames of a clip to analyse, exactly as BIKE's published code (the reference) does.
//!
//! Every expression follows the operations of the reference's Python, as indices near whole numbers depend on the order
//! in which doubles are rounded. `n` is the number of decodable frames, `t` the number of frames of a view.

/// Number of frames that the reference's dense sampling spans.
const DENSE_RANGE: u64 = 128;

/// One view over the whole clip: `int(n/T * i)`. Empty when `n` is 0.
pub fn uniform(n: u64, t: usize) -> Vec<u64> {
    if n == 0 {
        return Vec::new();
    }
    let interval = n as f64 / t as f64;
    (0..t).map(|i| (interval * i as f64) as u64).collect()
}

/// `views` views, each over the whole clip, shifted against each other by whole frames within one interval n/T: starts
/// are `linspace(0, n/T - 1, V, dtype=int)`, indices `int(start + n/T * i) mod n`.
/// A view is a row of `t` indices. Empty when `n` is 0.
pub fn uniform_views(n: u64, t: usize, views: usize) -> Vec<Vec<u64>> {
    if n == 0 {
        return Vec::new();
    }
    let interval = n as f64 / t as f64;
    linspace_floored(interval - 1.0, views)
        .into_iter()
        .map(|start| {
            // Python's int() truncates towards zero; its modulo is never negative.
            (0..t).map(|i| ((start + interval * i as f64).trunc() as i64).rem_euclid(n as i64) as u64).collect()
        })
        .collect()
}

/// `views` views of `t` frames with `128 // T` between them: starts are `v * (max(0, n - 128) // (V - 1))`,
/// indices `(start + interval * i) mod n`. A single view starts at 0; there the reference divides by zero.
/// A view is a row of `t` indices. Empty when `n` is 0.
pub fn dense_views(n: u64, t: usize, views: usize) -> Vec<Vec<u64>> {
    if n == 0 {
        return Vec::new();
    }
    let interval = DENSE_RANGE / (t as u64).max(1);
    let step = n.saturating_sub(DENSE_RANGE).checked_div(views as u64 - u64::from(views > 0)).unwrap_or(0);
    (0..views as u64).map(|v| (0..t as u64).map(|i| (v * step + interval * i) % n).collect()).collect()
}

/// `numpy.linspace(0, stop, num, dtype=int)`, whose whole numbers are floors since numpy 1.20.
fn linspace_floored(stop: f64, num: usize) -> Vec<f64> {
    if num == 1 {
        return vec![0.0];
    }
    let step = stop / (num as f64 - 1.0);
    (0..num).map(|i| if i + 1 == num { stop } else { i as f64 * step }.floor()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 5] = [1, 4, 8, 16, 32];
    const VIEWS: [usize; 6] = [1, 2, 3, 4, 5, 10];

    /// The formulas written out for one index, in whole numbers where the reference has whole numbers.
    mod formulas {
        pub fn python_int(x: f64) -> i64 {
            if x < 0.0 { -((-x).floor() as i64) } else { x.floor() as i64 }
        }
        pub fn python_mod(a: i64, n: i64) -> i64 {
            let mut a = a;
            while a < 0 {
                a += n;
            }
            while a >= n {
                a -= n;
            }
            a
        }
        pub fn linspace(start: f64, stop: f64, num: i64, k: i64) -> i64 {
            let value = if num > 1 && k == num - 1 {
                stop
            } else if num > 1 {
                (k as f64) * ((stop - start) / ((num - 1) as f64)) + start
            } else {
                start
            };
            value.floor() as i64
        }
        pub fn uniform(n: i64, t: i64, v: i64, views: i64, i: i64) -> i64 {
            let start = linspace(0.0, n as f64 / t as f64 - 1.0, views, v);
            python_mod(python_int(start as f64 + n as f64 / t as f64 * i as f64), n)
        }
        pub fn dense(n: i64, t: i64, v: i64, views: i64, i: i64) -> i64 {
            let room = if n > 128 { n - 128 } else { 0 };
            let start = if views == 1 { 0 } else { v * (room / (views - 1)) };
            python_mod(start + 128 / t * i, n)
        }
    }

    #[test]
    fn indices_equal_the_formulas() {
        for n in 1..=500u64 {
            for t in LENGTHS {
                let one: Vec<i64> = (0..t).map(|i| formulas::python_int(n as f64 / t as f64 * i as f64)).collect();
                assert_eq!(uniform(n, t).iter().map(|&i| i as i64).collect::<Vec<_>>(), one, "n {n} T {t}");
                for views in VIEWS {
                    let (uniform, dense) = (uniform_views(n, t, views), dense_views(n, t, views));
                    for (v, i) in (0..views).flat_map(|v| (0..t).map(move |i| (v, i))) {
                        let (n, t, views, vv, ii) = (n as i64, t as i64, views as i64, v as i64, i as i64);
                        assert_eq!(uniform[v][i] as i64, formulas::uniform(n, t, vv, views, ii), "{n} {t} {v} {i}");
                        assert_eq!(dense[v][i] as i64, formulas::dense(n, t, vv, views, ii), "{n} {t} {v} {i}");
                    }
                }
            }
        }
    }

    /// Reference values by numpy: `tests/data/make_goldens_sampling.py`.
    #[test]
    fn indices_equal_numpy() {
        let goldens: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/data/goldens_sampling.json")).expect("goldens");
        let number = |v: &serde_json::Value| v.as_u64().expect("a number");
        let cases = goldens["cases"].as_array().expect("cases");
        for case in cases {
            let (n, t, v) = (number(&case["n"]), number(&case["t"]) as usize, number(&case["views"]) as usize);
            let want: Vec<Vec<u64>> = serde_json::from_value(case["indices"].clone()).expect("rows of indices");
            let have = match case["kind"].as_str() {
                Some("uniform") => vec![uniform(n, t)],
                Some("uniform_views") => uniform_views(n, t, v),
                _ => dense_views(n, t, v),
            };
            assert_eq!(have, want, "{case}");
        }
        let digests = goldens["digests"].as_array().expect("digests");
        for digest in digests {
            let (t, views) = (number(&digest["t"]) as usize, number(&digest["views"]) as usize);
            let mut hash = Fnv::default();
            for n in 1..=number(&digest["up_to"]) {
                let rows = match digest["kind"].as_str() {
                    Some("uniform") => vec![uniform(n, t)],
                    Some("uniform_views") => uniform_views(n, t, views),
                    _ => dense_views(n, t, views),
                };
                rows.iter().flatten().for_each(|&i| hash.add(i as u32));
            }
            assert_eq!(format!("{:016x}", hash.0), digest["fnv1a"].as_str().expect("hex"), "{digest}");
        }
        assert!(cases.len() > 100 && digests.len() == 65);
    }

    /// FNV-1a, 64 bits, over little-endian u32s.
    struct Fnv(u64);
    impl Default for Fnv {
        fn default() -> Self {
            Self(0xcbf2_9ce4_8422_2325)
        }
    }
    impl Fnv {
        fn add(&mut self, x: u32) {
            for byte in x.to_le_bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }

    #[test]
    fn negative_starts_are_floored_and_wrap_to_the_end() {
        assert_eq!(linspace_floored(4.0 / 8.0 - 1.0, 4), [0.0, -1.0, -1.0, -1.0]);
        assert_eq!(uniform_views(4, 8, 4)[1][0], 3);
    }

    #[test]
    fn an_empty_clip_has_no_views() {
        assert!(uniform(0, 8).is_empty() && uniform_views(0, 8, 3).is_empty() && dense_views(0, 8, 3).is_empty());
        assert!(dense_views(10, 8, 0).is_empty() && uniform_views(10, 8, 0).is_empty());
    }
}
