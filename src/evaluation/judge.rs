//! Events against what was shown.

use serde::Serialize;

use crate::source::Seconds;

/// An event counts for what was shown where the two overlap by at least this share of the time that either covers.
pub const LEAST_OVERLAP: f64 = 0.3;

/// What a stretch of a stream showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Categories, any of which is right; empty for none.
    pub categories: Vec<usize>,
    /// When it began.
    pub start: Seconds,
    /// When it ended.
    pub end: Seconds,
}

/// An event that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its category.
    pub category: usize,
    /// When it began.
    pub start: Seconds,
    /// When it ended.
    pub end: Seconds,
}

/// How well events fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Stretches that show a category.
    pub shown: usize,
    /// Events found.
    pub found: usize,
    /// Events that fit a stretch, one each.
    pub fitting: usize,
    /// Share of the events found that fit; null where none was found.
    pub precision: Option<f64>,
    /// Share of the stretches that were found; null where there are none.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; 0 where either is missing or 0.
    pub f1: f64,
    /// Median distance between start told and start shown, of events that fit, seconds.
    pub start_error_s: Option<f64>,
    /// Median distance of the ends.
    pub end_error_s: Option<f64>,
}

/// Pairs each stretch with the event of one of its categories that overlaps it most, best overlaps first.
pub fn judge(shown: &[Shown], found: &[Found]) -> Measures {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (i, shown) in shown.iter().enumerate() {
        for (j, found) in found.iter().enumerate().filter(|(_, found)| shown.categories.contains(&found.category)) {
            let both = shown.end.min(found.end) - shown.start.max(found.start);
            let either = shown.end.max(found.end) - shown.start.min(found.start);
            let overlap = if either > 0.0 { both / either } else { 0.0 };
            if overlap >= LEAST_OVERLAP {
                pairs.push((overlap, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut of_shown, mut of_found) = (vec![false; shown.len()], vec![false; found.len()]);
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for (_, i, j) in pairs {
        if !of_shown[i] && !of_found[j] {
            (of_shown[i], of_found[j]) = (true, true);
            starts.push((shown[i].start - found[j].start).abs());
            ends.push((shown[i].end - found[j].end).abs());
        }
    }
    let count = shown.iter().filter(|shown| !shown.categories.is_empty()).count();
    let share = |of: usize| (of > 0).then(|| starts.len() as f64 / of as f64);
    let (precision, recall) = (share(found.len()), share(count));
    let f1 = match (precision, recall) {
        (Some(p), Some(r)) if p + r > 0.0 => 2.0 * p * r / (p + r),
        _ => 0.0,
    };
    Measures {
        shown: count,
        found: found.len(),
        fitting: starts.len(),
        precision,
        recall,
        f1,
        start_error_s: median(starts),
        end_error_s: median(ends),
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => None,
        n if n % 2 == 1 => Some(figures[half]),
        _ => Some((figures[half - 1] + figures[half]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(categories: &[usize], start: Seconds, end: Seconds) -> Shown {
        Shown { categories: categories.to_vec(), start, end }
    }

    fn found(category: usize, start: Seconds, end: Seconds) -> Found {
        Found { category, start, end }
    }

    #[test]
    fn each_stretch_counts_once() {
        let stream =
            [shown(&[0], 0.0, 10.0), shown(&[], 10.0, 20.0), shown(&[1, 2], 20.0, 30.0), shown(&[0], 30.0, 40.0)];
        let events = [
            found(0, 1.0, 10.5),  // fits
            found(0, 5.0, 9.0),   // the same stretch again
            found(1, 12.0, 18.0), // nothing was shown
            found(2, 22.0, 29.0), // fits
            found(0, 38.0, 39.0), // too little of it
        ];
        let measures = judge(&stream, &events);
        assert_eq!((measures.shown, measures.found, measures.fitting), (3, 5, 2));
        assert_eq!((measures.precision, measures.recall), (Some(0.4), Some(2.0 / 3.0)));
        assert_eq!((measures.start_error_s, measures.end_error_s), (Some(1.5), Some(0.75)));
        assert!((measures.f1 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn nothing_found_is_no_division_by_nothing() {
        let measures = judge(&[shown(&[0], 0.0, 1.0)], &[]);
        assert_eq!((measures.precision, measures.recall, measures.f1), (None, Some(0.0), 0.0));
        assert_eq!(judge(&[], &[]), Measures::default());
    }
}
