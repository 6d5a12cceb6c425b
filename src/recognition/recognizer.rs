//! All of recognition together: push a frame's embedding, ask for scores.

use std::sync::Arc;

use ndarray::Array2;

use super::attributes::{Attribute, Attributes, Compose, MAX_ATTRIBUTES};
use super::fusion::fuse;
use super::spec::{Interaction, RecognitionSpec};
use super::spotting::{DotProduct, Spotting};
use super::vocabulary::{Lexicon, Vocabulary};
use super::window::{Embeddings, FrameStamp, MAX_WINDOW, Window};
use super::{bundle_fault, normalise};
use crate::error::{Error, Result};

/// A temporal header: T frame embeddings become T others, each of which knows them all.
pub trait Header {
    /// Frames `[T, D]`, oldest first, not normalised, to `out`, `[T, D]`.
    ///
    /// # Errors
    /// Where the network fails.
    fn apply(&mut self, frames: &[f32], out: &mut [f32]) -> Result<()>;
}

impl<F: FnMut(&[f32], &mut [f32]) -> Result<()>> Header for F {
    fn apply(&mut self, frames: &[f32], out: &mut [f32]) -> Result<()> {
        self(frames, out)
    }
}

/// What a window of frames shows. K categories, T slots.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Video branch: cosines, `[K]`.
    pub s_v: Vec<f32>,
    /// Attribute branch: cosines, `[K]`; empty where lambda is 1 or there is no lexicon.
    pub s_a: Vec<f32>,
    /// As the reference ranks: `lambda * softmax(s_v) + (1 - lambda) * softmax(s_a)`, without a scale, `[K]`.
    pub score: Vec<f32>,
    /// The same with the model's logit scale: shares that can be read as confidences, `[K]`.
    pub confidence: Vec<f32>,
    /// How much each frame counts for each category, `[K, T]`, oldest frame first. Rows sum to 1; columns past
    /// the frames there are hold zeros. With plain dot products all frames count the same.
    pub saliency: Array2<f32>,
    /// Phrases nearest to what the window shows, nearest first; empty without a lexicon.
    pub attributes: heapless::Vec<Attribute, MAX_ATTRIBUTES>,
    /// The frames in the window, oldest first.
    pub frames: heapless::Vec<FrameStamp, MAX_WINDOW>,
    /// True where the window is full. Before that, scores are over the frames there are; a temporal header then gets
    /// them repeated to T, as BIKE samples clips of fewer than T frames (`floor(i n / T)`).
    pub full: bool,
}

/// Frame embeddings in, scores out.
///
/// After construction neither [`Self::push`] nor [`Self::scores`] allocates, unless a header or composer does.
pub struct Recognizer {
    spec: RecognitionSpec,
    vocabulary: Vocabulary,
    window: Window,
    /// Embeddings as they came, by slot, `[T, D]`.
    frames: Embeddings,
    /// Of length 1, by slot, `[T, D]`; used by concept spotting without a header.
    directions: Embeddings,
    /// Frames pushed since the last scores, at most T.
    fresh: usize,
    header: Option<WithHeader>,
    interaction: Comparison,
    attributes: Option<Attributes>,
    /// Softmax of `s_a`.
    scratch: Vec<f32>,
    scores: Scores,
}

struct WithHeader {
    header: Box<dyn Header>,
    /// What goes into the header, oldest first, `[T, D]`.
    input: Embeddings,
    /// What comes out of it, `[T, D]`.
    output: Embeddings,
}

enum Comparison {
    Spotting(Box<Spotting>),
    DotProduct(DotProduct),
}

impl Recognizer {
    /// A recogniser with an empty window. With a lexicon, attributes are found for every window; they are scored
    /// where `spec.lambda` is below 1, and then a lexicon is needed.
    ///
    /// # Errors
    /// Where a setting is out of range, tables do not fit together, or something needed is missing.
    pub fn new(
        spec: RecognitionSpec,
        vocabulary: Vocabulary,
        lexicon: Option<Arc<Lexicon>>,
        header: Option<Box<dyn Header>>,
        composer: Option<Box<dyn Compose>>,
    ) -> Result<Self> {
        spec.check()?;
        vocabulary.check()?;
        let (window, dim, categories) = (spec.window, vocabulary.dim(), vocabulary.len());
        let attributes = match lexicon {
            Some(lexicon) => Some(Attributes::new(&spec, &vocabulary, lexicon, composer)?),
            None if spec.lambda < 1.0 => {
                return Err(bundle_fault(
                    "lambda is below 1 but there is no lexicon to find attributes in; use --lambda 1",
                ));
            }
            None => None,
        };
        let interaction = match spec.interaction {
            Interaction::Vcs => Comparison::Spotting(Box::new(Spotting::new(&vocabulary, window, spec.tau)?)),
            Interaction::Dp => Comparison::DotProduct(DotProduct::new(&vocabulary)?),
        };
        let header = header.map(|header| WithHeader {
            header,
            input: Embeddings::new(window, dim),
            output: Embeddings::new(window, dim),
        });
        let scored = if attributes.as_ref().is_some_and(Attributes::scores) { categories } else { 0 };
        Ok(Self {
            window: Window::new(window),
            frames: Embeddings::new(window, dim),
            directions: Embeddings::new(window, dim),
            fresh: 0,
            header,
            interaction,
            attributes,
            scratch: vec![0.0; scored],
            scores: Scores {
                s_v: vec![0.0; categories],
                s_a: vec![0.0; scored],
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

    /// The settings in use.
    pub fn spec(&self) -> &RecognitionSpec {
        &self.spec
    }

    /// What it answers with.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Puts a frame into the window, in place of the oldest where it is full: its embedding `[D]` and, where the
    /// attribute encoder is one of its own, its embedding there, `[Da]`. Neither needs to be normalised.
    ///
    /// # Errors
    /// Where an embedding has no direction (not finite, or all zeros); the window is then as it was.
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
        // Was just checked to have a direction.
        let _ = normalise(self.directions.row_mut(slot));
        if let Some(attributes) = &mut self.attributes {
            attributes.frames.row_mut(slot).copy_from_slice(attribute_embedding);
        }
        self.fresh = (self.fresh + 1).min(self.spec.window);
        Ok(())
    }

    /// Scores of the frames in the window.
    ///
    /// # Errors
    /// Where the window is empty, a network fails, or what it gave has no direction.
    pub fn scores(&mut self) -> Result<&Scores> {
        let count = self.window.len();
        if count == 0 {
            return Err(Error::Internal("scores were asked of an empty window".into()));
        }
        if self.fresh == 0 {
            return Ok(&self.scores);
        }
        if self.header.is_some() {
            self.compare_after_header()?;
        } else {
            self.compare()?;
        }
        let scores = &mut self.scores;
        if let Some(attributes) = &mut self.attributes {
            let nearest = attributes.score(count, &mut scores.s_a)?;
            scores.attributes.clear();
            // There is room: both hold MAX_ATTRIBUTES.
            let _ = scores.attributes.extend_from_slice(nearest);
        }
        if !scores.s_v.iter().chain(&scores.s_a).all(|x| x.is_finite()) {
            return Err(bundle_fault("a table holds numbers that are not finite; run `bike-edge bundle verify`"));
        }
        let (s_v, s_a, scratch) = (&scores.s_v, &scores.s_a, &mut self.scratch);
        fuse(s_v, s_a, self.spec.lambda, 1.0, scratch, &mut scores.score);
        fuse(s_v, s_a, self.spec.lambda, self.spec.logit_scale, scratch, &mut scores.confidence);
        scores.frames.clear();
        scores.frames.extend(self.window.stamps().copied());
        scores.full = self.window.is_full();
        self.fresh = 0;
        Ok(&self.scores)
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.window.clear();
        self.fresh = 0;
    }

    /// Video branch, without a header: new frames cost a column each.
    fn compare(&mut self) -> Result<()> {
        let (count, window) = (self.window.len(), self.spec.window);
        let saliency = self.scores.saliency.as_slice_mut().unwrap_or(&mut []);
        match &mut self.interaction {
            Comparison::Spotting(spotting) => {
                for slots in self.window.youngest(self.fresh) {
                    spotting.see(slots.start, self.directions.range(slots));
                }
                spotting.score(count, &mut self.scores.s_v, saliency);
                let oldest = self.window.slot(0);
                for saliency in saliency.chunks_exact_mut(window) {
                    saliency[..count].rotate_left(oldest);
                    saliency[count..].fill(0.0);
                }
            }
            Comparison::DotProduct(dot_product) => {
                dot_product.score(self.frames.range(0..count), &mut self.scores.s_v).ok_or_else(cancelled)?;
                for saliency in saliency.chunks_exact_mut(window) {
                    saliency[..count].fill(1.0 / count as f32);
                    saliency[count..].fill(0.0);
                }
            }
        }
        Ok(())
    }

    /// Video branch, with a header: all T columns are new.
    fn compare_after_header(&mut self) -> Result<()> {
        let (count, window) = (self.window.len(), self.spec.window);
        let Some(with) = &mut self.header else { return Ok(()) };
        for i in 0..window {
            let slot = self.window.slot(i * count / window);
            with.input.row_mut(i).copy_from_slice(self.frames.row(slot));
        }
        with.header.apply(with.input.all(), with.output.all_mut())?;
        let saliency = self.scores.saliency.as_slice_mut().unwrap_or(&mut []);
        match &mut self.interaction {
            Comparison::Spotting(spotting) => {
                for i in 0..window {
                    normalise(with.output.row_mut(i))
                        .ok_or_else(|| bundle_fault("temporal.onnx gave zeros or numbers that are not finite"))?;
                }
                spotting.see(0, with.output.all());
                spotting.score(window, &mut self.scores.s_v, saliency);
            }
            Comparison::DotProduct(dot_product) => {
                dot_product.score(with.output.all(), &mut self.scores.s_v).ok_or_else(cancelled)?;
                saliency.fill(1.0 / window as f32);
            }
        }
        if count < window {
            // What repeated frames count for goes to the frame itself.
            for saliency in saliency.chunks_exact_mut(window) {
                let mut of_frame = [0.0; MAX_WINDOW];
                saliency.iter().enumerate().for_each(|(i, share)| of_frame[i * count / window] += share);
                saliency.copy_from_slice(&of_frame[..window]);
            }
        }
        Ok(())
    }
}

fn cancelled() -> Error {
    bundle_fault("the window's frame embeddings cancel out or are not finite")
}

fn check_embedding(file: &str, stamp: FrameStamp, embedding: &[f32], width: usize) -> Result<()> {
    if embedding.len() != width {
        let got = embedding.len();
        return Err(bundle_fault(format!("{file} gives {got} numbers a frame where the tables have {width}")));
    }
    let square: f64 = embedding.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if !square.is_finite() || square == 0.0 {
        let FrameStamp { time, index } = stamp;
        return Err(bundle_fault(format!(
            "{file} gave zeros or numbers that are not finite for frame {index} at {time:.3} s; the graph is damaged or \
             overflows in its number format"
        )));
    }
    Ok(())
}
