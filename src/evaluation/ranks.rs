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
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    let labelled = clips.iter().filter(|clip| !clip.categories.is_empty());
    for clip in labelled.clone() {
        let path = clip.path.display().to_string();
        match classifier.classify(clip.path.as_os_str(), &mut |_, _| {}) {
            Ok(scores) => {
                let confidence = scores.average.confidence();
                let ranked = match rank_by {
                    RankBy::Reference => scores.average.score(),
                    RankBy::Confidence => confidence.clone(),
                };
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
}
