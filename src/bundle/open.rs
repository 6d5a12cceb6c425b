//! Opens bundles and loads their graphs.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use super::files::{BundleRef, Container, check_hashes, check_sizes, listed_files};
use super::manifest::{Manifest, TokenizerKind};
use super::tables::Tables;
use super::{category_tables, limits};
use crate::encoder::{
    AttributeHead, Composer, Compute, EncoderOptions, FrameEncoder, TemporalHeader, TextInput, TextTower,
};
use crate::error::{Error, Result};
use crate::recognition::{CategorySet, Lexicon};
use crate::table::Bytes;
use crate::text::{AttributeHeads, Pooling, TextEncoder, TextMeans, TextParts, TextTokenizer, Tokenizer, WordPiece};

/// An open, checked bundle. Its graphs are checked when they are loaded.
#[derive(Clone)]
pub struct Bundle {
    /// The contents of bundle.toml.
    pub manifest: Manifest,
    location: BundleRef,
    pub(super) files: BTreeMap<String, Bytes>,
    pub(super) manifest_text: Bytes,
    pub(super) readme: Option<Bytes>,
    categories: Arc<CategorySet>,
    lexicon: Option<Arc<Lexicon>>,
}

impl Bundle {
    /// Opens a bundle and performs every check of docs/bundle.md, except those of graphs. A graph is checked when it is
    /// loaded (see [`Bundle::load_visual`]), because the check takes as long as loading.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] with the file or field, the problem and the remedy.
    pub fn open(location: &BundleRef) -> Result<Self> {
        Self::open_with(location, |_| Ok(())).map(|(bundle, ())| bundle)
    }

    /// Opens a bundle and runs `load` while the files' hashes are computed, because both take about as long. A wrong
    /// hash takes precedence over the result of `load`.
    ///
    /// # Errors
    /// Returns an error as [`Bundle::open`] does, or the error of `load`.
    pub fn open_with<T>(location: &BundleRef, load: impl FnOnce(&Self) -> Result<T>) -> Result<(Self, T)> {
        let refuse = |problem| Error::bundle(location.to_string(), problem);
        let Parts { manifest, manifest_text, files, readme } = Parts::read(location).map_err(refuse)?;
        check_sizes(&manifest, &files).map_err(refuse)?;
        let check = || check_hashes(&manifest, &files).into_iter().collect::<Result<(), String>>();
        thread::scope(|scope| {
            let hashing = thread::Builder::new().spawn_scoped(scope, check);
            // A damaged file can make `load` fail or panic. The wrong hash is the better explanation, so it is reported
            // first.
            let loaded = catch_unwind(AssertUnwindSafe(|| {
                let (categories, lexicon) = read_tables(&manifest, &files).map_err(refuse)?;
                let (location, manifest, files) = (location.clone(), manifest.clone(), files.clone());
                let bundle = Self { manifest, location, files, manifest_text, readme, categories, lexicon };
                load(&bundle).map(|loaded| (bundle, loaded))
            }));
            let hashes = match hashing {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => check(),
            };
            hashes.map_err(refuse)?;
            loaded.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Returns where the bundle was read from.
    pub fn location(&self) -> &BundleRef {
        &self.location
    }

    /// Returns the categories of the model.
    pub fn categories(&self) -> &Arc<CategorySet> {
        &self.categories
    }

    /// Returns the lexicon, if there is one.
    pub fn lexicon(&self) -> Option<&Arc<Lexicon>> {
        self.lexicon.as_ref()
    }

    /// Returns a listed file.
    pub fn file(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// Returns the names of the listed files and their sizes in bytes.
    pub fn file_sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.len()))
    }

    /// Returns the model card, if there is one in UTF-8.
    pub fn readme(&self) -> Option<&str> {
        self.readme.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Returns whether the bundle has a text tower.
    pub fn has_text_tower(&self) -> bool {
        self.file("text.onnx").is_some()
    }

    /// Returns whether the bundle has a separate frame encoder for attributes.
    pub fn has_attribute_encoder(&self) -> bool {
        self.file("attribute_visual.onnx").is_some()
    }

    /// Loads the frame encoder and checks that its sizes are those of the manifest.
    ///
    /// # Errors
    /// Returns [`Error::Bundle`] with the problem of the graph and the remedy.
    pub fn load_visual(&self, on: impl Into<Compute>) -> Result<FrameEncoder> {
        let model = &self.manifest.model;
        let onnx = self.file("visual.onnx").map_or(&[][..], |bytes| bytes);
        self.load_frame_encoder("visual.onnx", onnx, "embedding_dim", model.embedding_dim, on.into())
    }

    /// Loads the separate frame encoder of the attribute space, if there is one.
    ///
    /// # Errors
    /// Returns an error as [`Bundle::load_visual`] does.
    pub fn load_attribute_visual(&self, on: impl Into<Compute>) -> Result<Option<FrameEncoder>> {
        let on = on.into();
        let width = self.manifest.attribute_dim();
        self.file("attribute_visual.onnx")
            .map(|onnx| self.load_frame_encoder("attribute_visual.onnx", onnx, "attribute_dim", width, on))
            .transpose()
    }

    /// Loads the temporal header for windows of `window` frames, if there is one.
    ///
    /// # Errors
    /// Returns an error as [`Bundle::load_visual`] does, also if the graph was made for another window.
    pub fn load_temporal(&self, window: usize, threads: usize) -> Result<Option<TemporalHeader>> {
        let width = self.manifest.model.embedding_dim;
        let load = |onnx: &Bytes| TemporalHeader::load(onnx, window, width, self.options("temporal.onnx", threads));
        self.file("temporal.onnx").map(load).transpose()
    }

    /// Loads the composer, if there is one.
    ///
    /// # Errors
    /// Returns an error as [`Bundle::load_visual`] does.
    pub fn load_composer(&self, threads: usize) -> Result<Option<Composer>> {
        let model = &self.manifest.model;
        let (phrases, width) = (model.attributes_top_k, model.embedding_dim);
        let load = |onnx: &Bytes| Composer::load(onnx, phrases, width, self.options("composer.onnx", threads));
        self.file("composer.onnx").map(load).transpose()
    }

    /// Loads the text tower with its tokenizer and heads, if there is one.
    ///
    /// # Errors
    /// Returns an error as [`Bundle::load_visual`] does, also for an invalid tokenizer, and if the bundle
    /// has trained attribute rows for its categories without the heads that compute them, or heads without such rows.
    pub fn load_text(&self, threads: usize) -> Result<Option<TextEncoder>> {
        let Some(onnx) = self.file("text.onnx") else { return Ok(None) };
        let problem = |problem: String| Error::bundle(self.location().to_string(), problem);
        let heads = self.load_heads(threads)?;
        if heads.is_some() != self.categories().attribute.is_some() {
            return Err(problem(
                "`category_attribute` in categories.safetensors is there without sentence_head.onnx and query_head.onnx, \
                 or they without it; export the bundle with all of them"
                    .into(),
            ));
        }
        let tokenizer = self.load_tokenizer().map_err(problem)?;
        let means = self.load_text_means().map_err(problem)?;
        let (dim, prompts, text) =
            (self.manifest.model.embedding_dim, self.manifest.model.prompts.clone(), &self.manifest.text);
        let input = match text.pooling {
            Pooling::End => TextInput::One,
            Pooling::Mean => TextInput::Several,
        };
        let tower = TextTower::load(onnx, dim, input, self.options("text.onnx", threads))?;
        let first = || prompts.first().map_or("{}", String::as_str).to_owned();
        let attribute_prompt = text.attribute_prompt.clone().unwrap_or_else(first);
        let (pooling, bundle) = (text.pooling, self.location().to_string());
        let parts = TextParts { tokenizer, tower, heads, prompts, attribute_prompt, pooling, means, dim, bundle };
        Ok(Some(TextEncoder::new(parts)))
    }

    /// Reads tokenizer.txt. Errors are sentences that start with the file's name.
    pub(super) fn load_tokenizer(&self) -> Result<TextTokenizer, String> {
        let missing = "tokenizer.txt is not listed under [files] of bundle.toml; add its entry";
        let text = self.file("tokenizer.txt").ok_or(missing)?;
        let parsed = match self.manifest.text.tokenizer {
            TokenizerKind::Clip => Tokenizer::parse(text).map(|tokenizer| TextTokenizer::Clip(Box::new(tokenizer))),
            TokenizerKind::Wordpiece => WordPiece::parse(text).map(TextTokenizer::WordPiece),
        };
        parsed.map_err(|problem| format!("tokenizer.txt: {problem}"))
    }

    /// Reads text.safetensors, if there is one. Errors are sentences that start with the file's name.
    pub(super) fn load_text_means(&self) -> Result<TextMeans, String> {
        let Some(bytes) = self.file("text.safetensors") else { return Ok(TextMeans::default()) };
        let dim = self.manifest.model.embedding_dim;
        let read = || {
            let tables = Tables::open(bytes, &["category_mean", "word_mean", "sentence_mean"])?;
            let mean = |name| if tables.has(name) { tables.list(name, dim).map(Some) } else { Ok(None) };
            Ok(TextMeans {
                category: mean("category_mean")?,
                word: mean("word_mean")?,
                sentence: mean("sentence_mean")?,
            })
        };
        read().map_err(|problem: String| format!("text.safetensors: {problem}"))
    }

    fn load_heads(&self, threads: usize) -> Result<Option<AttributeHeads>> {
        let head = |name: &str| {
            let width = self.manifest.model.embedding_dim;
            let load = |onnx: &Bytes| AttributeHead::load(onnx, width, self.options(name, threads));
            self.file(name).map(load).transpose()
        };
        let heads = head("sentence_head.onnx")?.zip(head("query_head.onnx")?);
        Ok(heads.map(|(sentence, query)| AttributeHeads { sentence, query }))
    }

    fn options(&self, file: &str, threads: usize) -> EncoderOptions {
        EncoderOptions::new(threads, self.location().to_string(), file)
    }

    /// Loads a frame encoder and checks that its sizes are those of the manifest.
    fn load_frame_encoder(
        &self,
        file: &str,
        onnx: &[u8],
        field: &str,
        width: usize,
        on: Compute,
    ) -> Result<FrameEncoder> {
        let options = EncoderOptions { device: on.device, ..self.options(file, on.threads) };
        let encoder = FrameEncoder::load(onnx, options)?;
        let problem = |problem| Err(Error::bundle(self.location().to_string(), problem));
        let crop = self.manifest.preprocess.crop as usize;
        if encoder.dim() != width {
            return problem(format!(
                "{file} makes embeddings of {}, but bundle.toml has model.{field} = {width}; they must be equal",
                encoder.dim()
            ));
        }
        if encoder.size() != crop {
            return problem(format!(
                "{file} takes crops of {} pixels, but bundle.toml has preprocess.crop = {crop}; they must be equal",
                encoder.size()
            ));
        }
        Ok(encoder)
    }
}

/// The parts of a bundle before they are compared with each other.
struct Parts {
    manifest: Manifest,
    manifest_text: Bytes,
    files: BTreeMap<String, Bytes>,
    readme: Option<Bytes>,
}

impl Parts {
    fn read(location: &BundleRef) -> Result<Self, String> {
        let container = Container::open(location)?;
        let (manifest, manifest_text) = read_manifest(&container)?;
        let files = listed_files(&container, &manifest)?;
        let readme = container.read("README.md", limits::README_BYTES)?;
        Ok(Self { manifest, manifest_text, files, readme })
    }
}

/// Reads and checks bundle.toml.
pub(super) fn read_manifest(container: &Container) -> Result<(Manifest, Bytes), String> {
    let missing = || "bundle.toml is missing, so this is not a bundle; give a bundle's folder or packed file";
    let bytes = container.read("bundle.toml", limits::MANIFEST_BYTES)?.ok_or_else(missing)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "bundle.toml is not UTF-8; save it as UTF-8")?;
    let manifest = Manifest::parse(text)?;
    Ok((manifest, bytes))
}

/// Reads the category set and the lexicon, and checks the background categories.
fn read_tables(
    manifest: &Manifest,
    files: &BTreeMap<String, Bytes>,
) -> Result<(Arc<CategorySet>, Option<Arc<Lexicon>>), String> {
    let categories = read_categories(manifest, files)?;
    let lexicon = read_lexicon(manifest, files)?;
    check_background(manifest, &categories, lexicon.as_ref())?;
    Ok((Arc::new(categories), lexicon.map(Arc::new)))
}

/// Reads the category set.
pub(super) fn read_categories(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Result<CategorySet, String> {
    category_tables::categories(manifest, listed(files, "categories.txt")?, listed(files, "categories.safetensors")?)
}

/// Reads the lexicon, if there is one.
pub(super) fn read_lexicon(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Result<Option<Lexicon>, String> {
    if !manifest.has_lexicon() {
        return Ok(None);
    }
    category_tables::lexicon(manifest, listed(files, "lexicon.txt")?, listed(files, "lexicon.safetensors")?).map(Some)
}

/// Returns a listed file.
fn listed<'a>(files: &'a BTreeMap<String, Bytes>, name: &str) -> Result<&'a Bytes, String> {
    files.get(name).ok_or_else(|| format!("{name} is not listed under [files] of bundle.toml; add its entry"))
}

/// Checks that the background categories are categories or lexicon phrases of the bundle, if it has no text tower.
pub(super) fn check_background(
    manifest: &Manifest,
    categories: &CategorySet,
    lexicon: Option<&Lexicon>,
) -> Result<(), String> {
    let background = &manifest.defaults.background;
    if manifest.lists("text.onnx") {
        return Ok(());
    }
    let phrases = lexicon.filter(|_| !background.is_empty()).map_or(&[][..], |lexicon| &lexicon.phrases);
    let known: HashSet<&String> = categories.names.iter().chain(phrases).collect();
    match background.iter().find(|name| !known.contains(name)) {
        Some(name) => {
            let shown = name.escape_debug();
            Err(format!(
                "bundle.toml: defaults.background has `{shown}`, which is neither a category nor a lexicon phrase; \
                 remove it"
            ))
        }
        None => Ok(()),
    }
}
