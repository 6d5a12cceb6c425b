//! Builds small bundles.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use bike_edge::bundle::{Bundle, BundleRef};
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use super::onnx::Onnx;
use super::pattern;

/// D of these bundles.
pub const DIM: usize = 8;
/// S.
pub const SIZE: usize = 16;
/// K.
pub const CATEGORIES: usize = 3;
/// N.
pub const PHRASES: usize = 6;
/// W.
pub const WORDS: usize = 2;

/// A tensor as stored.
#[derive(Clone)]
pub struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Builds a bundle. Tests may change any part of it before it is written.
#[derive(Clone)]
pub struct Builder {
    /// bundle.toml without `[files]`.
    pub manifest: String,
    /// Files, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Table files, by tensor.
    pub tables: BTreeMap<String, BTreeMap<String, Stored>>,
}

impl Builder {
    /// Creates a bundle with three categories, six phrases and a composer, which passes every check.
    pub fn new() -> Self {
        let manifest = format!(
            "format = 1\nname = \"tiny\"\nversion = \"1.0.0\"\nlicence = \"MIT\"\nprovenance = \"a test\"\n\n[model]\n\
             embedding_dim = {DIM}\nattribute_dim = {DIM}\nwindow = 4\nheader = \"none\"\ninteraction = \"vcs\"\n\
             tau = 0.01\nlogit_scale = 100.0\nlambda = 0.8\nattributes_top_k = 2\n\n[preprocess]\nresize = {SIZE}\n\
             crop = {SIZE}\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n\n[defaults]\nbackground = [\"resting\"]\n"
        );
        let weight = pattern(2 * DIM * DIM, 3);
        let composer = Onnx::new(&[1, 2, DIM as i64], &[1, DIM as i64])
            .tensor(super::onnx::f32_tensor("w", &[2 * DIM as i64, DIM as i64], &weight))
            .node("Flatten", &["x"], &["flat"])
            .node("MatMul", &["flat", "w"], &["y"]);
        let files = BTreeMap::from([
            ("visual.onnx".to_owned(), Onnx::frame_encoder(SIZE as i64, DIM as i64).encode()),
            ("composer.onnx".to_owned(), composer.encode()),
            ("categories.txt".to_owned(), b"running\nresting\nreading a book\n".to_vec()),
            ("lexicon.txt".to_owned(), b"a\nb\nc\nd\ne\nf\n".to_vec()),
        ]);
        let table = |name: &str, tensor| (name.to_owned(), tensor);
        let categories = BTreeMap::from([
            table("category", unit_f32(&[CATEGORIES, DIM], 11)),
            table("word", unit_f32(&[CATEGORIES, WORDS, DIM], 12)),
            table("word_weight", numbers(&[CATEGORIES, WORDS], &[37.0; CATEGORIES * WORDS])),
            table("shared_word", unit_f32(&[1, DIM], 13)),
            table("shared_weight", numbers(&[1], &[3.0])),
        ]);
        let lexicon = BTreeMap::from([
            table("retrieval", unit_f32(&[PHRASES, DIM], 21)),
            table("word", unit_f32(&[PHRASES, 1, DIM], 22)),
            table("word_weight", numbers(&[PHRASES, 1], &[77.0; PHRASES])),
        ]);
        let tables = BTreeMap::from([
            ("categories.safetensors".to_owned(), categories),
            ("lexicon.safetensors".to_owned(), lexicon),
        ]);
        Self { manifest, files, tables }
    }

    /// Stores the words of the categories as mixtures of two rows each at five positions.
    pub fn mixed(self) -> Self {
        let file = "categories.safetensors";
        self.without_tensor(file, "word_weight")
            .tensor(file, "word", unit_f32(&[2 * CATEGORIES, DIM], 14))
            .tensor(file, "word_rows", counts(&[2; CATEGORIES]))
            .tensor(file, "word_mix", numbers(&[2 * CATEGORIES, 5], &[0.25; 10 * CATEGORIES]))
            .tensor(file, "position_word", unit_f32(&[5, DIM], 15))
    }

    /// Replaces a text of the manifest, which must contain it.
    pub fn manifest(mut self, from: &str, to: &str) -> Self {
        assert!(self.manifest.contains(from), "{from} is not in the manifest");
        self.manifest = self.manifest.replace(from, to);
        self
    }

    /// Adds or replaces a file.
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), bytes.into());
        self
    }

    /// Adds or replaces a tensor of a table file.
    pub fn tensor(mut self, file: &str, name: &str, tensor: Stored) -> Self {
        self.tables.get_mut(file).expect("a table file").insert(name.into(), tensor);
        self
    }

    /// Removes a tensor of a table file.
    pub fn without_tensor(mut self, file: &str, name: &str) -> Self {
        self.tables.get_mut(file).expect("a table file").remove(name);
        self
    }

    /// Returns all files except the manifest.
    pub fn all_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        for (name, tensors) in &self.tables {
            let views = tensors.iter().map(|(name, tensor)| {
                (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).expect("a tensor"))
            });
            let bytes = safetensors::serialize(views, None::<HashMap<String, String>>).expect("serialises");
            files.insert(name.clone(), bytes);
        }
        files
    }

    /// Returns the manifest with sizes and hashes of `files`.
    pub fn manifest_for(&self, files: &BTreeMap<String, Vec<u8>>) -> String {
        let mut text = self.manifest.clone();
        for (name, bytes) in files {
            let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("\n[files.\"{name}\"]\nbytes = {}\nsha256 = \"{hash}\"\n", bytes.len());
        }
        text
    }

    /// Writes the bundle into `folder`.
    pub fn write(&self, folder: &Path) {
        let files = self.all_files();
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("bundle.toml"), self.manifest_for(&files)).expect("written");
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).expect("written");
        }
    }

    /// Writes the bundle into a new folder and opens it.
    pub fn open(&self) -> bike_edge::Result<Bundle> {
        let folder = Folder::new();
        self.write(&folder.bundle());
        Bundle::open(&folder.reference())
    }

    /// Returns the message with which the bundle is refused.
    pub fn refusal(&self) -> String {
        match self.open() {
            Ok(_) => panic!("the bundle opened"),
            Err(e) => e.to_string(),
        }
    }
}

/// A temporary folder with room for a bundle.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    pub fn reference(&self) -> BundleRef {
        BundleRef::Path(self.bundle())
    }
}

/// Returns rows of length 1.
pub fn unit_rows(shape: &[usize], seed: u64) -> Vec<f32> {
    let width = *shape.last().expect("a width");
    let mut all = pattern(shape.iter().product(), seed);
    for row in all.chunks_exact_mut(width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    all
}

pub fn numbers(shape: &[usize], numbers: &[f32]) -> Stored {
    let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Stored { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

pub fn counts(numbers: &[u32]) -> Stored {
    let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Stored { dtype: Dtype::U32, shape: vec![numbers.len()], bytes }
}

pub fn unit_f32(shape: &[usize], seed: u64) -> Stored {
    numbers(shape, &unit_rows(shape, seed))
}

pub fn unit_f16(shape: &[usize], seed: u64) -> Stored {
    let bytes = unit_rows(shape, seed).iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect();
    Stored { dtype: Dtype::F16, shape: shape.to_vec(), bytes }
}

/// Returns int8 rows and their scales, `[.., width]` and `[..]`.
pub fn unit_i8(shape: &[usize], seed: u64) -> (Stored, Stored) {
    let (width, outer) = shape.split_last().expect("a width");
    let (mut bytes, mut scales) = (Vec::new(), Vec::new());
    for row in unit_rows(shape, seed).chunks_exact(*width) {
        let peak = row.iter().fold(0f32, |peak, x| peak.max(x.abs()));
        bytes.extend(row.iter().map(|x| (x / peak * 127.0).round() as i8 as u8));
        scales.push(peak / 127.0);
    }
    (Stored { dtype: Dtype::I8, shape: shape.to_vec(), bytes }, numbers(outer, &scales))
}
