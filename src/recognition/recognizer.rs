//! The recognizer: takes one embedding per frame and computes the scores of the window.

use std::sync::Arc;

use ndarray::Array2;

use super::attributes::{Attributes, SentenceEncoder};
use super::category_set::{Lexicon, bundle_error};
use super::scores::{Scores, confidences_against_background, fuse};
use super::spec::{Interaction, RecognitionSpec, Scoring};
use super::spotting::{DotProduct, Spotting};
use super::vocabulary::Vocabulary;
use super::window::{Embeddings, FrameStamp, MAX_WINDOW, Window};
use crate::error::{Error, Result};
use crate::table::normalise;

/// A temporal header, which mixes the embeddings of a window.
pub trait Header: Send {
    /// Mixes frames `[T, D]`, oldest first and not normalised, into `out`, `[T, D]`.
    ///
    /// # Errors
    /// Returns an error if the network fails.
    fn apply(&mut self, frames: &[f32], out: &mut [f32]) -> Result<()>;
}

impl<F: FnMut(&[f32], &mut [f32]) -> Result<()> + Send> Header for F {
    fn apply(&mut self, frames: &[f32], out: &mut [f32]) -> Result<()> {
        self(frames, out)
    }
}

/// Computes the scores of a window of frame embeddings.
///
/// After construction neither [`Self::push`] nor [`Self::scores`] allocates, unless a header or sentence encoder does.
pub struct Recognizer {
    spec: RecognitionSpec,
    vocabulary: Vocabulary,
    window: Window,
    /// Embeddings as they were pushed, by slot, `[T, D]`.
    frames: Embeddings,
    /// Embeddings scaled to length 1, by slot, `[T, D]`; used by concept spotting without a header.
    directions: Embeddings,
    /// Frames pushed since the scores were computed, at most T.
    new_frames: usize,
    header: Option<HeaderState>,
    comparison: Comparison,
    attributes: Option<Attributes>,
    /// Softmax of `s_a`.
    scratch: Vec<f32>,
    scores: Scores,
}

/// A header with its input and output.
struct HeaderState {
    header: Box<dyn Header>,
    /// Input of the header, oldest first, `[T, D]`.
    input: Embeddings,
    /// Output of the header, `[T, D]`.
    output: Embeddings,
}

/// The comparison of frames and categories.
enum Comparison {
    Spotting(Box<Spotting>),
    DotProduct(DotProduct),
}

impl Recognizer {
    /// Creates a recognizer with an empty window. With a lexicon, attributes are found for every window. They are
    /// scored if `spec.lambda` is below 1, which requires a lexicon.
    ///
    /// # Errors
    /// Returns [`Error::Setting`] if a setting is out of range, and [`Error::Bundle`] if tables do not fit together or
    /// a part is missing.
    pub fn new(
        spec: RecognitionSpec,
        vocabulary: Vocabulary,
        lexicon: Option<Arc<Lexicon>>,
        header: Option<Box<dyn Header>>,
        sentence_encoder: Option<Box<dyn SentenceEncoder>>,
    ) -> Result<Self> {
        spec.check()?;
        vocabulary.check()?;
        if spec.scoring == Scoring::Independent && vocabulary.background().is_empty() {
            let problem = "independent confidences need background categories, and there are none";
            return Err(Error::setting("background", problem, "name some, such as \"an empty room,a street\""));
        }
        let (window, dim, categories) = (spec.window, vocabulary.dim(), vocabulary.len());
        let attributes = match lexicon {
            Some(lexicon) => Some(Attributes::new(&spec, &vocabulary, lexicon, sentence_encoder)?),
            None if spec.lambda < 1.0 => {
                return Err(bundle_error(
                    "lambda is below 1, but there is no lexicon to find attributes in; set lambda to 1",
                ));
            }
            None => None,
        };
        let comparison = match spec.interaction {
            Interaction::Vcs => Comparison::Spotting(Box::new(Spotting::new(&vocabulary, window, spec.tau)?)),
            Interaction::Dp => Comparison::DotProduct(DotProduct::new(&vocabulary)?),
        };
        let header = header.map(|header| HeaderState {
            header,
            input: Embeddings::new(window, dim),
            output: Embeddings::new(window, dim),
        });
        let scored_by_attributes = if attributes.as_ref().is_some_and(Attributes::scores) { categories } else { 0 };
        Ok(Self {
            window: Window::new(window),
            frames: Embeddings::new(window, dim),
            directions: Embeddings::new(window, dim),
            new_frames: 0,
            header,
            comparison,
            attributes,
            scratch: vec![0.0; scored_by_attributes],
            scores: Scores {
                s_v: vec![0.0; categories],
                s_a: vec![0.0; scored_by_attributes],
                score: vec![0.0; categories],
                confidence: vec![0.0; categories],
                saliency: Array2::zeros((categories, window)),
                attributes: heapless::Vec::new(),
                frames: heapless::Vec::new(),
                full: false,
            },
            spec,
            vocabulary,
        })
    }

    /// Returns the settings.
    pub fn spec(&self) -> &RecognitionSpec {
        &self.spec
    }

    /// Returns the categories.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Adds a frame to the window, in place of the oldest if the window is full: its embedding `[D]` and, if there is a
    /// separate attribute encoder, the embedding from that, `[Da]`. Neither has to be normalised.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] if an embedding is not finite or all zeros. The window is then
    /// unchanged.
    pub fn push(&mut self, stamp: FrameStamp, embedding: &[f32], attribute_embedding: Option<&[f32]>) -> Result<()> {
        check_embedding("visual.onnx", stamp, embedding, self.frames.width())?;
        let attribute_embedding = match &self.attributes {
            Some(attributes) => {
                let embedding = attribute_embedding.unwrap_or(embedding);
                check_embedding("attribute_visual.onnx", stamp, embedding, attributes.frames.width())?;
                embedding
            }
            None => &[],
        };
        let slot = self.window.push(stamp);
        self.frames.row_mut(slot).copy_from_slice(embedding);
        self.directions.row_mut(slot).copy_from_slice(embedding);
        // This cannot fail, because the embedding was checked to have a direction.
        let _ = normalise(self.directions.row_mut(slot));
        if let Some(attributes) = &mut self.attributes {
            attributes.frames.row_mut(slot).copy_from_slice(attribute_embedding);
        }
        self.new_frames = (self.new_frames + 1).min(self.spec.window);
        Ok(())
    }

    /// Returns the scores of the frames in the window.
    ///
    /// # Errors
    /// Returns an error if the window is empty, a network fails, or its output is not finite or all zeros.
    pub fn scores(&mut self) -> Result<&Scores> {
        let count = self.window.len();
        if count == 0 {
            return Err(Error::Internal("scores of an empty window were requested".into()));
        }
        if self.new_frames == 0 {
            return Ok(&self.scores);
        }
        if self.header.is_some() {
            self.score_with_header()?;
        } else {
            self.score_new_frames()?;
        }
        let scores = &mut self.scores;
        if let Some(attributes) = &mut self.attributes {
            let nearest = attributes.score(count, &mut scores.s_a)?;
            scores.attributes.clear();
            // This cannot fail, because both hold MAX_ATTRIBUTES.
            let _ = scores.attributes.extend_from_slice(nearest);
        }
        if !scores.s_v.iter().chain(&scores.s_a).all(|x| x.is_finite()) {
            return Err(bundle_error("a table holds numbers that are not finite; run `bike-edge bundle verify`"));
        }
        let (s_v, s_a, scratch) = (&scores.s_v, &scores.s_a, &mut self.scratch);
        fuse(s_v, s_a, self.spec.lambda, 1.0, scratch, &mut scores.score);
        let (lambda, scale, confidence) = (self.spec.lambda, self.spec.logit_scale, &mut scores.confidence);
        match self.spec.scoring {
            Scoring::Share => fuse(s_v, s_a, lambda, scale, scratch, confidence),
            Scoring::Independent => {
                confidences_against_background(s_v, s_a, lambda, scale, self.vocabulary.background(), confidence);
            }
        }
        scores.frames.clear();
        scores.frames.extend(self.window.stamps().copied());
        scores.full = self.window.is_full();
        self.new_frames = 0;
        Ok(&self.scores)
    }

    /// Returns the scores that were computed last.
    pub fn latest_scores(&self) -> &Scores {
        &self.scores
    }

    /// Removes all frames from the window.
    pub fn clear(&mut self) {
        self.window.clear();
        self.new_frames = 0;
    }

    /// Computes the video branch without a header. Only the columns of new frames are computed.
    fn score_new_frames(&mut self) -> Result<()> {
        let (count, window) = (self.window.len(), self.spec.window);
        let saliency = self.scores.saliency.as_slice_mut().unwrap_or(&mut []);
        match &mut self.comparison {
            Comparison::Spotting(spotting) => {
                for slots in self.window.newest(self.new_frames) {
                    spotting.compare(slots.start, self.directions.range(slots));
                }
                spotting.score(count, &mut self.scores.s_v, saliency);
                let oldest = self.window.slot(0);
                for saliency in saliency.chunks_exact_mut(window) {
                    saliency[..count].rotate_left(oldest);
                    saliency[count..].fill(0.0);
                }
            }
            Comparison::DotProduct(dot_product) => {
                dot_product.score(self.frames.range(0..count), &mut self.scores.s_v).ok_or_else(no_mean_direction)?;
                for saliency in saliency.chunks_exact_mut(window) {
                    saliency[..count].fill(1.0 / count as f32);
                    saliency[count..].fill(0.0);
                }
            }
        }
        Ok(())
    }

    /// Computes the video branch with a header. All T columns are computed, because all outputs of the header change. As
    /// long as the window has fewer than T frames, they are repeated to T inputs.
    fn score_with_header(&mut self) -> Result<()> {
        let (count, window) = (self.window.len(), self.spec.window);
        let Some(header) = &mut self.header else { return Ok(()) };
        for i in 0..window {
            let slot = self.window.slot(i * count / window);
            header.input.row_mut(i).copy_from_slice(self.frames.row(slot));
        }
        header.header.apply(header.input.all(), header.output.all_mut())?;
        let saliency = self.scores.saliency.as_slice_mut().unwrap_or(&mut []);
        match &mut self.comparison {
            Comparison::Spotting(spotting) => {
                for i in 0..window {
                    normalise(header.output.row_mut(i)).ok_or_else(|| {
                        bundle_error("the output of temporal.onnx holds only zeros or numbers that are not finite")
                    })?;
                }
                spotting.compare(0, header.output.all());
                spotting.score(window, &mut self.scores.s_v, saliency);
            }
            Comparison::DotProduct(dot_product) => {
                dot_product.score(header.output.all(), &mut self.scores.s_v).ok_or_else(no_mean_direction)?;
                saliency.fill(1.0 / window as f32);
            }
        }
        if count < window {
            // The weights of a repeated frame are added up.
            for saliency in saliency.chunks_exact_mut(window) {
                let mut frame_weights = [0.0; MAX_WINDOW];
                saliency.iter().enumerate().for_each(|(i, share)| frame_weights[i * count / window] += share);
                saliency.copy_from_slice(&frame_weights[..window]);
            }
        }
        Ok(())
    }
}

/// Returns the error for frames whose mean is not finite or zero.
fn no_mean_direction() -> Error {
    bundle_error("the window's frame embeddings cancel out or are not finite")
}

/// Checks that an embedding has the right width and a direction.
fn check_embedding(file: &str, stamp: FrameStamp, embedding: &[f32], width: usize) -> Result<()> {
    if embedding.len() != width {
        let got = embedding.len();
        return Err(bundle_error(format!("{file} gives {got} numbers per frame, but the tables have {width}")));
    }
    let square: f64 = embedding.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if !square.is_finite() || square == 0.0 {
        let FrameStamp { time, index } = stamp;
        return Err(bundle_error(format!(
            "the output of {file} for frame {index} at {time:.3} s holds only zeros or numbers that are not finite; \
             the graph is damaged or its number format overflows"
        )));
    }
    Ok(())
}
