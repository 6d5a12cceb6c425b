//! Bundles: what a model is (docs/bundle.md).
//!
//! A bundle is read from a folder, a packed file or the binary itself; all three go through one reader and the same
//! checks. Everything in it is hostile until checked. Tables and graphs are used where they lie, never copied.

mod archive;
mod container;
mod describe;
mod embedded;
mod graphs;
mod hash;
pub mod limits;
pub mod manifest;
mod manifest_check;
mod names;
mod pack;
mod rows;
mod tables;
mod verify;
mod vocabulary;
mod words;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

pub use container::BundleRef;
pub use describe::describe;
pub use manifest::Manifest;
pub use pack::{Overwrite, pack, unpack};
pub use verify::verify;

use crate::error::{Error, Result};
use crate::recognition::{CategorySet, Lexicon};
use crate::table::Bytes;
use container::Container;

/// An opened and checked bundle. Its graphs are checked when they are loaded.
#[derive(Clone)]
pub struct Bundle {
    /// What it says about itself.
    pub manifest: Manifest,
    place: BundleRef,
    files: BTreeMap<String, Bytes>,
    manifest_text: Bytes,
    readme: Option<Bytes>,
    categories: Arc<CategorySet>,
    lexicon: Option<Arc<Lexicon>>,
}

impl Bundle {
    /// Opens a bundle and makes every check of docs/bundle.md, but for those of graphs, which are made by whoever
    /// loads one (see [`Bundle::load_visual`]), as they take as long as loading.
    ///
    /// # Errors
    /// [`Error::Bundle`] with the file or field, what is wrong with it and the remedy.
    pub fn open(place: &BundleRef) -> Result<Self> {
        Self::open_with(place, |_| Ok(())).map(|(bundle, ())| bundle)
    }

    /// The same, with `load` done while the files' hashes are compared, which takes as long. What it made is given out
    /// only where every hash is right; where one is not, that is the error.
    ///
    /// # Errors
    /// As [`Bundle::open`], and those of `load`.
    pub fn open_with<T>(place: &BundleRef, load: impl FnOnce(&Self) -> Result<T>) -> Result<(Self, T)> {
        let wrong = |problem| Error::bundle(place.to_string(), problem);
        let Parts { manifest, manifest_text, files, readme } = Parts::read(place).map_err(wrong)?;
        let check = || check_hashes(&manifest, &files).into_iter().collect::<Result<(), String>>();
        thread::scope(|scope| {
            let beside = thread::Builder::new().spawn_scoped(scope, check);
            // A fault that a damaged file leads to is not told where the hash tells that it is damaged.
            let loaded = catch_unwind(AssertUnwindSafe(|| {
                let (categories, lexicon) = Self::tables(&manifest, &files).map_err(wrong)?;
                let (place, manifest, files) = (place.clone(), manifest.clone(), files.clone());
                let bundle = Self { manifest, place, files, manifest_text, readme, categories, lexicon };
                load(&bundle).map(|made| (bundle, made))
            }));
            let hashes = match beside {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => check(),
            };
            hashes.map_err(wrong)?;
            loaded.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn tables(
        manifest: &Manifest,
        files: &BTreeMap<String, Bytes>,
    ) -> Result<(Arc<CategorySet>, Option<Arc<Lexicon>>), String> {
        let categories = read_categories(manifest, files)?;
        let lexicon = read_lexicon(manifest, files)?;
        check_background(manifest, &categories)?;
        Ok((Arc::new(categories), lexicon.map(Arc::new)))
    }

    /// Where it was read from.
    pub fn place(&self) -> &BundleRef {
        &self.place
    }

    /// The categories it answers with.
    pub fn categories(&self) -> &Arc<CategorySet> {
        &self.categories
    }

    /// Attribute phrases, where it has them.
    pub fn lexicon(&self) -> Option<&Arc<Lexicon>> {
        self.lexicon.as_ref()
    }

    /// A listed file.
    pub fn file(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// Names and sizes in bytes of the listed files.
    pub fn file_sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.len()))
    }

    /// The model card, where there is one in UTF-8.
    pub fn readme(&self) -> Option<&str> {
        self.readme.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// What a bundle is made of, not compared with each other yet.
struct Parts {
    manifest: Manifest,
    manifest_text: Bytes,
    files: BTreeMap<String, Bytes>,
    readme: Option<Bytes>,
}

impl Parts {
    fn read(place: &BundleRef) -> Result<Self, String> {
        let container = Container::open(place)?;
        let (manifest, manifest_text) = read_manifest(&container)?;
        let files = listed_files(&container, &manifest)?;
        let readme = container.read("README.md", limits::README_BYTES)?;
        Ok(Self { manifest, manifest_text, files, readme })
    }
}

/// bundle.toml, read and checked.
fn read_manifest(container: &Container) -> Result<(Manifest, Bytes), String> {
    let missing = || "bundle.toml is missing, so this is not a bundle; give a bundle's folder or packed file";
    let bytes = container.read("bundle.toml", limits::MANIFEST_BYTES)?.ok_or_else(missing)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "bundle.toml is not UTF-8; save it as UTF-8")?;
    let manifest = Manifest::parse(text)?;
    Ok((manifest, bytes))
}

/// The listed files, of the sizes listed but not hashed yet.
fn listed_files(container: &Container, manifest: &Manifest) -> Result<BTreeMap<String, Bytes>, String> {
    let mut files = BTreeMap::new();
    for name in manifest.files.keys() {
        let bytes = container.read(name, limits::file_bytes(name))?;
        let missing = || format!("{name} is listed in bundle.toml but missing; copy or download the bundle again");
        files.insert(name.clone(), bytes.ok_or_else(missing)?);
    }
    Ok(files)
}

/// A result for each file of the manifest, in its order.
fn check_hashes(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Vec<Result<(), String>> {
    let pair = |(name, bytes)| {
        let (name, bytes): (&String, &Bytes) = (name, bytes);
        Some((name.as_str(), manifest.files.get(name)?, bytes.clone()))
    };
    let pairs: Vec<_> = files.iter().filter_map(pair).collect();
    hash::check_all(&pairs)
}

fn read_categories(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Result<CategorySet, String> {
    vocabulary::categories(manifest, listed(files, "categories.txt")?, listed(files, "categories.safetensors")?)
}

fn read_lexicon(manifest: &Manifest, files: &BTreeMap<String, Bytes>) -> Result<Option<Lexicon>, String> {
    if !manifest.has_lexicon() {
        return Ok(None);
    }
    vocabulary::lexicon(manifest, listed(files, "lexicon.txt")?, listed(files, "lexicon.safetensors")?).map(Some)
}

fn listed<'a>(files: &'a BTreeMap<String, Bytes>, name: &str) -> Result<&'a Bytes, String> {
    files.get(name).ok_or_else(|| format!("{name} is not listed under [files] of bundle.toml; add its entry"))
}

fn check_background(manifest: &Manifest, categories: &CategorySet) -> Result<(), String> {
    match manifest.defaults.background.iter().find(|name| !categories.names.contains(name)) {
        Some(name) => {
            let shown = name.escape_debug();
            Err(format!("bundle.toml: defaults.background has `{shown}`, which is no category; take it out"))
        }
        None => Ok(()),
    }
}
