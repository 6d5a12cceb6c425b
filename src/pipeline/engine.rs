//! A loaded bundle with its encoders and its text tower, shared by any number of sessions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::model::{Model, ModelSpec, Workload};
use crate::bundle::{Bundle, BundleRef};
use crate::encoder::FrameEncoder;
use crate::error::{Error, Result};
use crate::health::thread_cpu;
use crate::picture::Picture;
use crate::preprocess::{CropAt, PreprocessSpec, Preprocessor, RegionSpec};
use crate::recognition::{CategorySet, Lexicon, SentenceCache, WordTable, find_name};
use crate::recognition::{Header, Phrases, Recognizer, SentenceEncoder, SentenceMethod, Vocabulary};
use crate::table::Table;
use crate::text::TextEncoder;

/// A loaded bundle, ready for the frames of any number of sessions.
pub struct Engine {
    /// The bundle.
    pub bundle: Bundle,
    /// How the model runs.
    pub model: Model,
    /// Time spent so far.
    pub timings: StageTimings,
    visual: FrameEncoder,
    /// The second frame encoder, of the attribute branch, if the bundle has one and it is needed.
    attribute_visual: Option<FrameEncoder>,
    vocabulary: Vocabulary,
    with_attributes: bool,
    shared: Mutex<SharedNetworks>,
    pixels: Vec<f32>,
}

/// A network that all recognizers of an engine use in turns.
type Shared<T> = Arc<Mutex<Box<T>>>;

/// Networks that are loaded once, for the first recognizer that needs them. The inner `None` means that the bundle has
/// none.
#[derive(Default)]
struct SharedNetworks {
    header: Option<Option<Shared<dyn Header>>>,
    sentences: Option<Option<Shared<dyn SentenceEncoder>>>,
}

/// Time spent per stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageTimings {
    /// Opening the bundle and preparing its graphs.
    pub load: Duration,
    /// Picture to crop.
    pub preprocess: Duration,
    /// Crop to embedding.
    pub encode: Duration,
    /// Embeddings to scores.
    pub recognise: Duration,
    /// CPU time of this thread in preprocessing and encoding.
    pub cpu: Duration,
}

/// A frame's embeddings.
#[derive(Clone, Debug, Default)]
pub struct Embedding {
    /// `[D]`, of the video branch.
    pub video: Vec<f32>,
    /// `[Da]`, of the attribute branch if it has a separate encoder, else empty.
    pub attribute: Vec<f32>,
}

impl Embedding {
    /// Returns the attribute branch's embedding if it differs from the video branch's.
    pub fn separate_attribute(&self) -> Option<&[f32]> {
        (!self.attribute.is_empty()).then_some(self.attribute.as_slice())
    }
}

impl Engine {
    /// Opens the bundle and prepares its graphs, for [`Workload::Clips`].
    ///
    /// # Errors
    /// A setting that does not fit, or a bundle that cannot be used.
    pub fn load(spec: &ModelSpec) -> Result<Self> {
        Self::load_with_progress(spec, Workload::Clips, &mut |_, _| {})
    }

    /// Opens the bundle and prepares its graphs, for [`Workload::Streams`].
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_for_streams(spec: &ModelSpec) -> Result<Self> {
        Self::load_with_progress(spec, Workload::Streams, &mut |_, _| {})
    }

    /// Opens the bundle and prepares its graphs; calls `progress` with the done and total numbers of category texts that the text tower
    /// encodes. Encoding hundreds of texts takes minutes on a board.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_with_progress(
        spec: &ModelSpec,
        workload: Workload,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let started = Instant::now();
        spec.check()?;
        let place = BundleRef::from(spec.bundle.as_os_str());
        let (bundle, (model, encoders, vocabulary)) = Bundle::open_with(&place, |bundle| {
            let model = spec.resolve(&bundle.manifest, workload)?;
            let visual = bundle.load_visual(model.compute())?;
            // Attributes in the space of the video branch cost almost nothing and are always reported. A separate
            // encoder runs only if its scores have a weight.
            let separate_encoder = bundle.has_attribute_encoder();
            let with_attributes = bundle.lexicon().is_some() && (model.recognition.lambda < 1.0 || !separate_encoder);
            let attribute_visual = if with_attributes { bundle.load_attribute_visual(model.compute())? } else { None };
            let vocabulary = vocabulary(bundle, &model, progress)?;
            Ok((model, (visual, attribute_visual, with_attributes), vocabulary))
        })?;
        let (visual, attribute_visual, with_attributes) = encoders;
        let pixels = vec![0.0; 3 * visual.size() * visual.size()];
        let timings = StageTimings { load: started.elapsed(), ..StageTimings::default() };
        Ok(Self {
            bundle,
            model,
            timings,
            visual,
            attribute_visual,
            vocabulary,
            with_attributes,
            shared: Mutex::default(),
            pixels,
        })
    }

    /// Names of the categories, in the order of all scores.
    pub fn categories(&self) -> &[String] {
        self.vocabulary.names()
    }

    /// Phrases of the lexicon, in the order of their numbers; empty if the bundle has no lexicon.
    pub fn phrases(&self) -> &[String] {
        self.bundle.lexicon().map_or(&[], |lexicon| &lexicon.phrases)
    }

    /// Indices in [`Engine::categories`] of those that mean "nothing of interest".
    pub fn background(&self) -> &[usize] {
        self.vocabulary.background()
    }

    /// Creates a recognizer for one stream.
    ///
    /// # Errors
    /// A bundle that cannot be used.
    pub fn recognizer(&self) -> Result<Recognizer> {
        self.build_recognizer(self.with_attributes)
    }

    /// Creates a recognizer that uses only the video branch.
    ///
    /// # Errors
    /// A bundle that cannot be used.
    pub fn video_recognizer(&self) -> Result<Recognizer> {
        self.build_recognizer(false)
    }

    /// Creates a preprocessor, which crops pictures, for one stream.
    ///
    /// # Errors
    /// A manifest with impossible sizes.
    pub fn preprocessor(&self, region: RegionSpec) -> Result<Preprocessor> {
        let own = &self.bundle.manifest.preprocess;
        let spec = PreprocessSpec { resize: own.resize, crop: own.crop, mean: own.mean, std: own.std };
        Preprocessor::new(spec, region)
    }

    /// Encodes a crop `[3, S, S]`.
    ///
    /// # Errors
    /// A network whose output is not finite.
    pub fn encode(&mut self, pixels: &[f32], out: &mut Embedding) -> Result<()> {
        let started = Instant::now();
        out.video.resize(self.visual.dim(), 0.0);
        self.visual.encode(pixels, &mut out.video)?;
        if let Some(encoder) = &mut self.attribute_visual {
            out.attribute.resize(encoder.dim(), 0.0);
            encoder.encode(pixels, &mut out.attribute)?;
        }
        self.timings.encode += started.elapsed();
        Ok(())
    }

    /// Crops and encodes a picture.
    ///
    /// # Errors
    /// A region outside the picture, or a network whose output is not finite.
    pub fn embed(
        &mut self,
        preprocessor: &mut Preprocessor,
        picture: &Picture<'_>,
        at: CropAt,
        out: &mut Embedding,
    ) -> Result<()> {
        let (started, cpu_started) = (Instant::now(), thread_cpu());
        let mut pixels = std::mem::take(&mut self.pixels);
        let outcome = preprocessor.run(picture, at, &mut pixels).and_then(|()| {
            self.timings.preprocess += started.elapsed();
            self.encode(&pixels, out)
        });
        self.pixels = pixels;
        outcome?;
        if let (Some(started), Some(now)) = (cpu_started, thread_cpu()) {
            self.timings.cpu += now.saturating_sub(started);
        }
        Ok(())
    }

    fn build_recognizer(&self, with_attributes: bool) -> Result<Recognizer> {
        let bundle = &self.bundle;
        let mut spec = self.model.recognition.clone();
        if !with_attributes {
            spec.lambda = 1.0;
        }
        let header = self.header()?.map(|header| {
            let apply = move |frames: &[f32], out: &mut [f32]| lock(&header).apply(frames, out);
            Box::new(apply) as Box<dyn Header>
        });
        let lexicon = bundle.lexicon().filter(|_| with_attributes).cloned();
        let sentences = match &lexicon {
            Some(lexicon) if spec.lambda < 1.0 => self.sentence_encoder(lexicon)?,
            _ => None,
        };
        let sentences = sentences.map(|encoder| Box::new(SharedSentences(encoder)) as Box<dyn SentenceEncoder>);
        Recognizer::new(spec, self.vocabulary.clone(), lexicon, header, sentences)
    }

    fn header(&self) -> Result<Option<Shared<dyn Header>>> {
        let mut shared = lock(&self.shared);
        if let Some(header) = &shared.header {
            return Ok(header.clone());
        }
        let loaded = self.bundle.load_temporal(self.model.recognition.window, self.model.threads)?;
        let header = loaded.map(|mut header| {
            let apply = move |frames: &[f32], out: &mut [f32]| header.apply(frames, out);
            Arc::new(Mutex::new(Box::new(apply) as Box<dyn Header>))
        });
        Ok(shared.header.insert(header).clone())
    }

    fn sentence_encoder(&self, lexicon: &Arc<Lexicon>) -> Result<Option<Shared<dyn SentenceEncoder>>> {
        let mut shared = lock(&self.shared);
        if let Some(encoder) = &shared.sentences {
            return Ok(encoder.clone());
        }
        let (bundle, threads) = (&self.bundle, self.model.threads);
        let encoder: Option<Box<dyn SentenceEncoder>> = match self.model.recognition.sentence_method {
            SentenceMethod::Tower => {
                Some(Box::new(LazyTextEncoder::new(bundle, threads).sentences(Arc::clone(lexicon))?))
            }
            SentenceMethod::Composer => bundle.load_composer(threads)?.map(|mut composer| {
                Box::new(move |phrases: &[f32], out: &mut [f32]| composer.compose(phrases, out))
                    as Box<dyn SentenceEncoder>
            }),
            SentenceMethod::Mean => None,
        };
        Ok(shared.sentences.insert(encoder.map(|encoder| Arc::new(Mutex::new(encoder)))).clone())
    }
}

/// A sentence encoder that several recognizers use.
struct SharedSentences(Shared<dyn SentenceEncoder>);

impl SentenceEncoder for SharedSentences {
    fn encode_sentence(&mut self, phrases: Phrases<'_>, out: &mut [f32]) -> Result<()> {
        lock(&self.0).encode_sentence(phrases, out)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the categories to choose from: any text if the bundle has a text tower, else only those of its tables.
fn vocabulary(bundle: &Bundle, model: &Model, progress: &mut dyn FnMut(usize, usize)) -> Result<Vocabulary> {
    let (set, lexicon) = (bundle.categories(), bundle.lexicon().map(Arc::as_ref));
    let mut names = model.categories.clone().unwrap_or_else(|| set.names.clone());
    let twice = |(at, name): &(usize, &String)| find_name(name, &model.background[..*at]).is_some();
    if let Some((_, name)) = model.background.iter().enumerate().find(twice) {
        return Err(Error::setting("background", format!("\"{name}\" is named twice"), "remove one"));
    }
    if model.adds_background {
        let missing: Vec<_> =
            model.background.iter().filter(|name| find_name(name, &names).is_none()).cloned().collect();
        names.extend(missing);
    }
    let vocabulary = if names == set.names {
        Vocabulary::from_categories(set)
    } else if bundle.has_text_tower() {
        let mut tower = LazyTextEncoder::new(bundle, model.threads);
        Vocabulary::from_texts(&names, set, lexicon, &mut |texts| tower.categories(texts, progress))?
    } else {
        Vocabulary::select(&names, set, lexicon)?
    };
    log_respelled(&names, vocabulary.names());
    Ok(vocabulary.with_background(&model.background))
}

/// Number of names in the log line about spellings.
const MAX_RESPELLED: usize = 5;

/// Logs the names that were understood in another spelling than in another case.
fn log_respelled(given: &[String], names: &[String]) {
    let respelled: Vec<_> =
        given.iter().zip(names).filter(|(given, name)| given.trim().to_lowercase() != name.to_lowercase()).collect();
    if respelled.is_empty() {
        return;
    }
    let listed = respelled.iter().take(MAX_RESPELLED).map(|(given, name)| format!("`{}` as `{name}`", given.trim()));
    let more = match respelled.len().saturating_sub(MAX_RESPELLED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    log::info!("categories are read as texts: {}{more}", listed.collect::<Vec<_>>().join(", "));
}

/// The text encoder of a bundle, loaded at its first use.
pub struct LazyTextEncoder {
    bundle: Bundle,
    threads: usize,
    loaded: Option<TextEncoder>,
}

impl LazyTextEncoder {
    /// Creates the encoder without loading the text tower.
    pub fn new(bundle: &Bundle, threads: usize) -> Self {
        Self { bundle: bundle.clone(), threads, loaded: None }
    }

    /// Encodes texts as categories, in their order. Calls `progress` after each run of the tower: done and total texts.
    ///
    /// # Errors
    /// A text that is too long, or a tower that cannot be used.
    pub fn categories(&mut self, texts: &[&str], progress: &mut dyn FnMut(usize, usize)) -> Result<CategorySet> {
        let started = Instant::now();
        let encoded = self.encoder()?.encode_categories(texts, progress)?;
        let seconds = started.elapsed().as_secs_f64();
        log::info!("the text tower encoded {} texts in {seconds:.1} s", texts.len());
        let width = encoded.first().map_or(0, |rows| rows.category.len());
        let most_words = encoded.iter().map(|rows| rows.words.len()).max().unwrap_or(0) / width.max(1);
        let (mut category, mut words, mut weight, mut attribute) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for rows in &encoded {
            category.extend_from_slice(&rows.category);
            attribute.extend(rows.attribute.iter().flatten());
            words.extend_from_slice(&rows.words);
            words.resize(category.len() * most_words, 0.0);
            weight.extend(std::iter::repeat_n(rows.word_weight, rows.words.len() / width.max(1)));
            // Rows of weight 0 are not used.
            weight.resize(words.len() / width.max(1), 0.0);
        }
        Ok(CategorySet {
            names: texts.iter().map(|text| (*text).to_owned()).collect(),
            category: Table::from_f32(width, &category)?,
            words: WordTable::weighted(Table::from_f32(width, &words)?, Table::from_f32(most_words, &weight)?),
            attribute: (!attribute.is_empty()).then(|| Table::from_f32(width, &attribute)).transpose()?,
        })
    }

    /// Returns the encoder of attribute sentences about phrases of the lexicon.
    ///
    /// # Errors
    /// A tower that cannot be used.
    pub fn sentences(mut self, lexicon: Arc<Lexicon>) -> Result<SentenceCache> {
        self.encoder()?;
        let encode = move |phrases: &[&str], out: &mut [f32]| self.encoder()?.encode_sentence(phrases, out);
        Ok(SentenceCache::new(lexicon, Box::new(encode)))
    }

    fn encoder(&mut self) -> Result<&mut TextEncoder> {
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => self.bundle.load_text(self.threads)?.ok_or_else(|| {
                Error::bundle(self.bundle.location().to_string(), "it has no text.onnx; export it with --keep-text")
            })?,
        };
        Ok(self.loaded.insert(encoder))
    }
}
