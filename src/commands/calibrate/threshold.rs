//! The threshold between levels that should be over it and levels that should not.

/// How high a category came in a clip, and whether the clip shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub level: f32,
    pub positive: bool,
}

/// The best threshold, and what it does on the levels that it was chosen from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub threshold: f32,
    pub f1: f64,
    pub hits: usize,
    pub positives: usize,
    pub false_alarms: usize,
}

/// No threshold is set lower or higher, whatever the clips say.
const BOUNDS: (f32, f32) = (0.05, 0.95);

/// The threshold of the highest F1, halfway between the levels next to it; of equal ones the highest. `None` where
/// nothing that should be over any threshold of the bounds is.
pub(super) fn best(levels: &[Level]) -> Option<Best> {
    let positives = levels.iter().filter(|level| level.positive).count();
    let mut sorted = levels.to_vec();
    sorted.sort_by(|a, b| b.level.total_cmp(&a.level));
    let (mut hits, mut false_alarms) = (0, 0);
    let mut found: Option<Best> = None;
    for (at, level) in sorted.iter().enumerate() {
        if level.positive {
            hits += 1;
        } else {
            false_alarms += 1;
        }
        let below = sorted.get(at + 1).map_or(0.0, |next| next.level);
        // A threshold lies between two levels that differ.
        if below >= level.level || level.level < BOUNDS.0 {
            continue;
        }
        let f1 = 2.0 * hits as f64 / (positives + hits + false_alarms) as f64;
        if hits > 0 && found.is_none_or(|best| f1 > best.f1) {
            let threshold = f32::midpoint(level.level, below).clamp(BOUNDS.0, BOUNDS.1).min(level.level);
            found = Some(Best { threshold, f1, hits, positives, false_alarms });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(positive: &[f32], negative: &[f32]) -> Vec<Level> {
        let level = |positive| move |&level: &f32| Level { level, positive };
        positive.iter().map(level(true)).chain(negative.iter().map(level(false))).collect()
    }

    #[test]
    fn levels_that_part_are_parted_in_the_middle() {
        let best = best(&levels(&[0.9, 0.7], &[0.3, 0.1])).unwrap();
        assert_eq!((best.threshold, best.f1, best.hits, best.false_alarms), (0.5, 1.0, 2, 0));
    }

    #[test]
    fn a_false_alarm_is_taken_where_it_brings_more_hits() {
        let best = best(&levels(&[0.9, 0.6, 0.5], &[0.8, 0.2])).unwrap();
        assert_eq!((best.hits, best.false_alarms), (3, 1));
        assert!((best.threshold - 0.35).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_set_by_what_is_not_there() {
        assert_eq!(best(&levels(&[], &[0.9])), None);
        assert_eq!(best(&levels(&[0.0, 0.01], &[0.9])), None);
        assert_eq!(best(&[]), None);
        assert_eq!(best(&levels(&[0.99], &[])).unwrap().threshold, 0.495);
        assert_eq!(best(&levels(&[0.06], &[])).unwrap().threshold, 0.05);
        assert_eq!(best(&levels(&[0.99], &[0.98])).unwrap().threshold, 0.95, "the bounds hold");
    }
}
