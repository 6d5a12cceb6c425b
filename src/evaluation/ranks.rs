//! Top-1, top-5 and median rank on labelled clips.

use serde::{Deserialize, Serialize};

use super::labels::LabelledClip;
use crate::error::{Error, Result};
use crate::pipeline::ClipClassifier;
use crate::recognition::top_n;
use crate::units::median;

/// The score by which the categories of a clip are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankBy {
    /// The score of BIKE's test script.
    #[default]
    Reference,
    /// The confidence that `classify` shows.
    Confidence,
}

/// Results for a list of clips.
#[derive(Clone, Debug, Serialize)]
pub struct RankReport {
    /// Number of clips to rank.
    pub clips: usize,
    /// Percent of the clips read whose true category ranks first; null if none could be read.
    pub top1: Option<f64>,
    /// The same among the first five.
    pub top5: Option<f64>,
    /// Median rank of the true category, from 1.
    pub median_rank: Option<f64>,
    /// Mean of 1 / rank of the true category; null if no clip could be read.
    pub mean_reciprocal_rank: Option<f64>,
    /// Mean over the categories that a clip shows of the average precision of their confidences over all clips; null if
    /// there are none.
    pub mean_average_precision: Option<f64>,
    /// Clips that could not be read.
    pub failures: Vec<ClipFailure>,
    /// The answer of each clip.
    pub answers: Vec<ClipRank>,
}

/// A clip that could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct ClipFailure {
    /// The clip.
    pub path: String,
    /// The error.
    pub problem: String,
}

/// The answer of one clip.
#[derive(Clone, Debug, Serialize)]
pub struct ClipRank {
    /// The clip.
    pub path: String,
    /// The true category; of several, the best ranked.
    pub label: String,
    /// The category ranked first.
    pub answer: String,
    /// Rank of the true category, from 1.
    pub rank: usize,
    /// Confidence of the true category.
    pub confidence: f64,
}

/// Ranks every clip that shows a category; clips that show none are skipped. Clips that cannot be read are reported and
/// do not stop the evaluation. Calls `progress` after each clip.
///
/// # Errors
/// A network that fails, or a setting that does not fit the bundle.
pub fn rank_clips(
    classifier: &mut ClipClassifier,
    clips: &[LabelledClip],
    rank_by: RankBy,
    progress: &mut dyn FnMut(),
) -> Result<RankReport> {
    let names = classifier.engine().categories().to_vec();
    // Background categories that were added to the categories are not answers.
    let hidden: Vec<usize> = match classifier.engine().model.adds_background {
        true => classifier.engine().background().to_vec(),
        false => Vec::new(),
    };
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    let mut confidences: Vec<(Vec<f64>, &[usize])> = Vec::new();
    let labelled = clips.iter().filter(|clip| !clip.categories.is_empty());
    for clip in labelled.clone() {
        let path = clip.path.display().to_string();
        match classifier.classify(clip.path.as_os_str(), &mut |_, _| {}) {
            Ok(scores) => {
                let confidence = scores.average.confidence();
                let mut ranked = match rank_by {
                    RankBy::Reference => scores.average.score(),
                    RankBy::Confidence => confidence.clone(),
                };
                hidden.iter().for_each(|category| ranked[*category] = f64::NEG_INFINITY);
                let best = top_n(&ranked, 1).first().map_or(0, |(category, _)| *category);
                let ranks = clip.categories.iter().map(|&category| (rank_of(category, &ranked), category));
                let Some((rank, category)) = ranks.min() else { continue };
                answers.push(ClipRank {
                    path,
                    label: names[category].clone(),
                    answer: names[best].clone(),
                    rank,
                    confidence: confidence[category],
                });
                confidences.push((confidence, &clip.categories));
            }
            Err(error @ (Error::Input { .. } | Error::Usage(_) | Error::Setting { .. })) => {
                failures.push(ClipFailure { path, problem: error.to_string() });
            }
            Err(error) => return Err(error),
        }
        progress();
    }
    Ok(RankReport {
        clips: labelled.count(),
        top1: percent_within(&answers, 1),
        top5: percent_within(&answers, 5),
        median_rank: median(answers.iter().map(|answer| answer.rank as f64).collect()),
        mean_reciprocal_rank: mean(answers.iter().map(|answer| 1.0 / answer.rank as f64)),
        mean_average_precision: mean_average_precision(&confidences, names.len()),
        failures,
        answers,
    })
}

/// Returns 1 + the number of categories ranked above this one; of equal scores the lower number ranks first, as in a
/// stable sort.
fn rank_of(category: usize, scores: &[f64]) -> usize {
    let own = scores[category];
    1 + scores.iter().enumerate().filter(|&(k, &score)| score > own || (score == own && k < category)).count()
}

/// Returns the mean average precision over the categories that clips show, as scikit-learn's `average_precision_score`
/// computes it: the sum over thresholds of precision times the gain in recall.
fn mean_average_precision(clips: &[(Vec<f64>, &[usize])], categories: usize) -> Option<f64> {
    mean((0..categories).filter_map(|category| {
        let shown = |(confidence, shown): &(Vec<f64>, &[usize])| (confidence[category], shown.contains(&category));
        average_precision(clips.iter().map(shown).collect())
    }))
}

/// Returns the average precision of scores with their truth; `None` without a true one.
fn average_precision(mut scores: Vec<(f64, bool)>) -> Option<f64> {
    let positives = scores.iter().filter(|(_, positive)| *positive).count();
    scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (mut hits, mut counted, mut sum) = (0usize, 0usize, 0.0);
    // Equal scores pass a threshold together.
    for equal in scores.chunk_by(|(a, _), (b, _)| a == b) {
        let new = equal.iter().filter(|(_, positive)| *positive).count();
        hits += new;
        counted += equal.len();
        sum += new as f64 * hits as f64 / counted as f64;
    }
    (positives > 0).then(|| sum / positives as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Returns the percentage of answers whose rank is at most `n`.
fn percent_within(answers: &[ClipRank], n: usize) -> Option<f64> {
    let hits = answers.iter().filter(|answer| answer.rank <= n).count();
    (!answers.is_empty()).then(|| 100.0 * hits as f64 / answers.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_the_categories_above() {
        assert_eq!(rank_of(1, &[0.1, 0.7, 0.2]), 1);
        assert_eq!(rank_of(0, &[0.1, 0.7, 0.2]), 3);
        assert_eq!(rank_of(1, &[0.5, 0.5]), 2);
    }

    #[test]
    fn average_precision_is_that_of_scikit_learn() {
        // average_precision_score([1, 0, 1, 1, 0], [.9, .8, .7, .7, .1]) and with all scores equal.
        let scores = vec![(0.9, true), (0.8, false), (0.7, true), (0.7, true), (0.1, false)];
        assert!((average_precision(scores).unwrap() - 0.833_333_333).abs() < 1e-9);
        assert!((average_precision(vec![(0.5, true), (0.5, false), (0.5, true)]).unwrap() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(average_precision(vec![(0.5, false)]), None);
    }
}
