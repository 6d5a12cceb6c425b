//! A bundle that cannot be used is refused with one sentence that gives the problem and the remedy.

use std::fs;
use std::io::Write;

use bike_edge::Error;
use bike_edge::bundle::{Bundle, BundleRef, pack, unpack, verify};
use bike_edge::io::IfExists;
use proptest::prelude::*;

use crate::support::bundle::{
    Builder, CATEGORIES, DIM, Folder, PHRASES, WORDS, counts, numbers, unit_f32, unit_i8, unit_rows,
};

const TABLES: &str = "categories.safetensors";

/// Checks that a message is one line and contains all of `words`.
#[track_caller]
fn expect_words(problem: &str, words: &[&str]) {
    assert!(!problem.contains('\n'), "several lines: {problem}");
    for word in words {
        assert!(problem.contains(word), "`{word}` is not in: {problem}");
    }
}

#[test]
fn places_without_a_bundle_are_refused() {
    let folder = Folder::new();
    let open = |path| Bundle::open(&BundleRef::Path(path)).err().expect("refused");
    let missing = open(folder.path("nowhere"));
    assert!(matches!(missing, Error::Bundle { .. }));
    expect_words(&missing.to_string(), &["nowhere", "there is no such folder or file"]);
    fs::create_dir(folder.path("empty")).expect("made");
    expect_words(&open(folder.path("empty")).to_string(), &["bundle.toml is missing"]);
    fs::write(folder.path("text"), "hello").expect("written");
    expect_words(&open(folder.path("text")).to_string(), &["bundle pack"]);
    fs::write(folder.path("nothing"), "").expect("written");
    expect_words(&open(folder.path("nothing")).to_string(), &["holds no files"]);
    Builder::new().write(&folder.bundle());
    expect_words(&open(folder.bundle().join("bundle.toml")).to_string(), &["give the folder"]);
}

#[test]
fn invalid_manifests_are_refused() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("format = 1", "format = 2", &["format is 2", "format 1"]),
        ("format = 1", "", &["format is missing"]),
        ("name = \"tiny\"", "", &["missing field `name`"]),
        ("tau = 0.01", "tau = 0.01\ntemperature = 1", &["line", "temperature"]),
        ("tau = 0.01", "tau = nan", &["model.tau", "0.0001 to 100"]),
        ("tau = 0.01", "tau = 0", &["model.tau"]),
        ("tau = 0.01", "tau = \"hot\"", &["line 13", "tau = ", "f32"]),
        ("window = 4", "window = 65", &["model.window is 65", "1 to 64"]),
        ("window = 4", "window = -1", &["line"]),
        ("embedding_dim = 8", "embedding_dim = 4097", &["model.embedding_dim", "4096"]),
        ("lambda = 0.8", "lambda = 1.5", &["model.lambda", "0 to 1"]),
        ("attributes_top_k = 2", "attributes_top_k = 17", &["attributes_top_k", "1 to 16"]),
        ("attribute_dim = 8", "", &["attribute_dim is missing"]),
        ("attribute_dim = 8", "attribute_dim = 9", &["attribute_dim is 9", "\"own\""]),
        ("header = \"none\"", "header = \"transf\"", &["temporal.onnx", "add it"]),
        ("header = \"none\"", "header = \"lstm\"", &["lstm"]),
        ("lambda = 0.8", "lambda = 0.8\nattribute_encoder = \"own\"", &["attribute_visual.onnx"]),
        ("lambda = 0.8", "lambda = 0.8\nattribute_scores = \"tower\"", &["text.onnx"]),
        ("crop = 16", "crop = 17", &["preprocess.resize", "preprocess.crop"]),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", &["preprocess.std[1]"]),
        ("\"resting\"", "\"sleeping\"", &["defaults.background", "sleeping"]),
        ("licence = \"MIT\"", "licence = \"M\\u001bT\"", &["licence", "control character"]),
        ("format = 1", "format = = 1", &["bundle.toml line 1"]),
    ];
    for (from, to, words) in cases {
        expect_words(&Builder::new().manifest(from, to).refusal(), words);
    }
    expect_words(
        &Builder::new().manifest("[defaults]", "[quality]\nspeed = inf\n[defaults]").refusal(),
        &["quality.speed"],
    );
}

#[test]
fn invalid_file_entries_are_refused() {
    let folder = Folder::new();
    let builder = Builder::new();
    let refused = |edit: &dyn Fn(String) -> String| {
        builder.write(&folder.bundle());
        let path = folder.bundle().join("bundle.toml");
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, edit(text)).expect("written");
        Bundle::open(&folder.reference()).err().expect("refused").to_string()
    };
    expect_words(
        &refused(&|text| text.replace("composer.onnx", "../composer.onnx")),
        &["cannot be a file of a bundle"],
    );
    expect_words(&refused(&|text| text.replace("composer.onnx", "/etc/passwd")), &["cannot be a file of a bundle"]);
    expect_words(&refused(&|text| text.replace("composer.onnx", ".hidden")), &["cannot be a file of a bundle"]);
    expect_words(&refused(&|text| text.replace("composer.onnx", "bundle.toml")), &["cannot be a file of a bundle"]);
    expect_words(&refused(&|text| text.replace("composer.onnx", "other.onnx")), &["other.onnx is listed", "missing"]);
    expect_words(&refused(&|text| text.replacen("sha256 = \"", "sha256 = \"xy", 1)), &["64 hexadecimal digits"]);
    expect_words(&refused(&|text| text.replace("visual.onnx", "vision.onnx")), &["visual.onnx is not listed"]);
    let huge = |text: String| text.replacen("bytes = ", "bytes = 99999999999", 1);
    expect_words(&refused(&huge), &["bytes is 99999999999", "at most 4294967296 are allowed"]);
    let many = |text: String| {
        let entry = |i| format!("\n[files.\"f{i}\"]\nbytes = 1\nsha256 = \"{}\"\n", "0".repeat(64));
        text + &(0..100).map(entry).collect::<String>()
    };
    expect_words(&refused(&many), &["files are listed", "64"]);
}

#[test]
fn damaged_files_are_refused() {
    let folder = Folder::new();
    let builder = Builder::new();
    for name in builder.all_files().keys() {
        builder.write(&folder.bundle());
        let path = folder.bundle().join(name);
        let whole = fs::read(&path).expect("read");
        let problem = || Bundle::open(&folder.reference()).err().expect("refused").to_string();
        fs::write(&path, &whole[..whole.len() - 1]).expect("written");
        expect_words(&problem(), &[name, "bytes", "again"]);
        fs::write(&path, "").expect("written");
        expect_words(&problem(), &[name, "0 bytes", "again"]);
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&path, changed).expect("written");
        expect_words(&problem(), &[name, "sha256", "again"]);
        fs::remove_file(&path).expect("removed");
        expect_words(&problem(), &[name, "missing"]);
        fs::create_dir(&path).expect("made");
        expect_words(&problem(), &[name, "not a regular file"]);
        fs::remove_dir(&path).expect("removed");
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let folder = Folder::new();
    Builder::new().write(&folder.bundle());
    let (inside, outside) = (folder.bundle().join("visual.onnx"), folder.path("elsewhere"));
    fs::rename(&inside, &outside).expect("moved");
    std::os::unix::fs::symlink(&outside, &inside).expect("linked");
    let problem = Bundle::open(&folder.reference()).err().expect("refused").to_string();
    expect_words(&problem, &["visual.onnx is a symbolic link", "put a copy"]);
    // The folder itself may be a link, which is the choice of the user.
    fs::remove_file(&inside).expect("removed");
    fs::rename(&outside, &inside).expect("moved back");
    std::os::unix::fs::symlink(folder.bundle(), folder.path("link")).expect("linked");
    Bundle::open(&BundleRef::Path(folder.path("link"))).expect("opens");
}

#[test]
fn invalid_lists_of_names_are_refused() {
    let names = |list: &[u8]| Builder::new().file("categories.txt", list).refusal();
    expect_words(&names(b"running\nresting\nrunning\n"), &["categories.txt", "line 3", "running", "twice"]);
    expect_words(&names(b"running\n\nresting\n"), &["categories.txt", "line 2", "blank"]);
    expect_words(&names(b"running\nresting\nre\xffading\n"), &["categories.txt", "line 3", "UTF-8"]);
    expect_words(&names(b"running\nresting\nred \x1b[31m\n"), &["line 3", "control characters"]);
    expect_words(&names(b"running\r\nresting\r\nreading\r\n"), &["line 1", "control characters"]);
    expect_words(&names(b""), &["categories.txt", "empty"]);
    expect_words(&names(b"running\nresting\n"), &["3 rows", "2 names"]);
    expect_words(&names("x".repeat(600).as_bytes()), &["line 1", "600 bytes"]);
    let many: String = (0..65_537).map(|i| format!("{i}\n")).collect();
    expect_words(&names(many.as_bytes()), &["65537 names", "65536"]);
}

#[test]
fn invalid_mixed_words_are_refused() {
    let refused = |name: &str, tensor| Builder::new().mixed().tensor(TABLES, name, tensor).refusal();
    expect_words(&refused("word_rows", counts(&[1, 2, 2])), &["word", "[6, 8]", "[5, 8]", "adds up to 5"]);
    expect_words(&refused("word_rows", counts(&[0, 3, 3])), &["word_rows", "word_rows[0] is 0", "1 to 77"]);
    expect_words(&refused("word_rows", counts(&[u32::MAX, 3, 3])), &["word_rows", "4294967295"]);
    expect_words(&refused("word_rows", counts(&[3, 3])), &["word_rows", "[2]", "[3]"]);
    expect_words(&refused("word_rows", numbers(&[3], &[2.0; 3])), &["word_rows is F32", "U32"]);
    expect_words(&refused("word_mix", numbers(&[6, 4], &[0.1; 24])), &["word_mix", "[6, 4]", "[6, 5]"]);
    expect_words(&refused("word_mix", numbers(&[6, 5], &[f32::NAN; 30])), &["word_mix row 0", "not finite"]);
    expect_words(&refused("word_mix", numbers(&[6, 5], &[1e9; 30])), &["word_mix row 0", "longer than 32"]);
    expect_words(
        &refused("position_word", numbers(&[5, DIM], &[f32::INFINITY; 5 * DIM])),
        &["position_word row 0", "finite"],
    );
    expect_words(&refused("position_word", numbers(&[5, DIM], &[2.0; 5 * DIM])), &["position_word row 0", "1.1"]);
    expect_words(&refused("position_word", unit_f32(&[78, DIM], 1)), &["position_word has 78 rows", "1 to 77"]);
    expect_words(&refused("word_weight", numbers(&[3, 2], &[1.0; 6])), &["word_weight", "together with word_mix"]);
    expect_words(&refused("shared_weight", numbers(&[1], &[-1.0])), &["shared_weight[0] is -1", "negative"]);
    let without = |name| Builder::new().mixed().without_tensor(TABLES, name).refusal();
    expect_words(&without("word_rows"), &["`word_rows` is missing"]);
    expect_words(&without("position_word"), &["`position_word` is missing"]);
    expect_words(&without("word_mix"), &["word_rows", "without word_mix"]);
}

#[test]
fn invalid_tables_are_refused() {
    let refused = |name: &str, tensor| Builder::new().tensor(TABLES, name, tensor).refusal();
    let row = |i: usize, number: f32| {
        let mut rows = unit_rows(&[CATEGORIES, DIM], 11);
        rows[i * DIM + 3] = number;
        numbers(&[CATEGORIES, DIM], &rows)
    };
    expect_words(&refused("category", row(1, f32::NAN)), &[TABLES, "category row 1", "not finite"]);
    expect_words(&refused("category", row(2, f32::INFINITY)), &[TABLES, "category row 2", "not finite"]);
    expect_words(&refused("category", row(0, 3.0)), &[TABLES, "category row 0", "length 3", "normalised"]);
    expect_words(&refused("category", numbers(&[3, DIM], &[0.0; 3 * DIM])), &["category row 0", "length 0"]);
    expect_words(&refused("category", unit_f32(&[3, DIM + 1], 1)), &["category", "[3, 9]", "[3, 8]"]);
    expect_words(&refused("category", unit_f32(&[4, DIM], 1)), &["4 rows", "3 names"]);
    expect_words(&refused("word", unit_f32(&[3, 78, DIM], 1)), &["word", "[3, 78, 8]", "77"]);
    expect_words(&refused("word", unit_f32(&[3 * WORDS, DIM], 1)), &["word", "[6, 8]"]);
    expect_words(
        &refused("word_weight", numbers(&[3, 2], &[37.0, 37.0, 37.0, 37.0, 37.0, -37.0])),
        &["row 2", "negative"],
    );
    expect_words(&refused("word_weight", numbers(&[3, 2], &[37.0, 37.0, 37.0, 30.0, 37.0, 37.0])), &["row 1", "equal"]);
    expect_words(&refused("word_weight", numbers(&[3, 2], &[f32::NAN; 6])), &["word_weight row 0", "NaN"]);
    expect_words(&refused("shared_weight", numbers(&[1], &[-1.0])), &["shared_weight", "negative"]);
    expect_words(&refused("shared_weight", numbers(&[2], &[1.0; 2])), &["shared_weight", "[2]", "[1]"]);
    expect_words(&refused("catgory_attribute", unit_f32(&[3, DIM], 1)), &["catgory_attribute", "not known"]);
    expect_words(&refused("category_attribute", unit_f32(&[2, DIM], 1)), &["category_attribute", "[2, 8]"]);
    expect_words(&refused("category_scale", numbers(&[3], &[1.0; 3])), &["category_scale", "I8"]);
    expect_words(&Builder::new().without_tensor(TABLES, "word").refusal(), &["`word` is missing"]);
    expect_words(&Builder::new().without_tensor(TABLES, "shared_word").refusal(), &["shared_weight", "without"]);

    let (stored, scales) = unit_i8(&[3, DIM], 11);
    let small = Builder::new().tensor(TABLES, "category", stored);
    expect_words(&small.clone().refusal(), &["category_scale", "missing"]);
    let mut damaged = scales.clone();
    damaged.bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
    expect_words(&small.clone().tensor(TABLES, "category_scale", damaged).refusal(), &["category row 1", "scale"]);
    let zero = numbers(&[3], &[0.0; 3]);
    expect_words(&small.tensor(TABLES, "category_scale", zero).refusal(), &["category row 0", "scale 0"]);

    let lexicon = |name: &str, tensor| Builder::new().tensor("lexicon.safetensors", name, tensor).refusal();
    expect_words(
        &lexicon("sentence_mean", numbers(&[DIM], &[f32::NAN; DIM])),
        &["lexicon.safetensors", "sentence_mean"],
    );
    expect_words(&lexicon("sentence", unit_f32(&[PHRASES, DIM + 1], 1)), &["sentence", "[6, 9]"]);
}

#[test]
fn table_files_with_false_headers_are_refused() {
    let refused = |bytes: Vec<u8>| {
        let mut builder = Builder::new();
        builder.tables.remove(TABLES);
        builder.file(TABLES, bytes).refusal()
    };
    expect_words(&refused(vec![1, 2, 3]), &[TABLES, "truncated"]);
    expect_words(&refused(u64::MAX.to_le_bytes().to_vec()), &[TABLES, "header claims"]);
    expect_words(&refused([&100u64.to_le_bytes()[..], b"{}"].concat()), &[TABLES, "not a readable safetensors file"]);
    let claim = br#"{"category":{"dtype":"F32","shape":[18446744073709551615,8],"data_offsets":[0,32]}}"#;
    let wrong = [&(claim.len() as u64).to_le_bytes()[..], claim, &[0; 32]].concat();
    expect_words(&refused(wrong), &[TABLES, "not a readable safetensors file"]);
    // A header whose length is not a multiple of the element size leaves tables misaligned.
    let head = br#"{"category":{"dtype":"F32","shape":[3,8],"data_offsets":[0,96]}}"#;
    let odd = [&(head.len() as u64 + 1).to_le_bytes()[..], head, b" ", &[0; 96]].concat();
    expect_words(&refused(odd), &["category", "not aligned"]);
}

/// A tar archive with a single entry of this name, type and declared size.
fn tar_of(name: &[u8], kind: tar::EntryType, declared: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(declared);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(bytes.len() + 1536, 0);
    bytes
}

#[test]
fn packed_files_with_false_headers_are_refused() {
    let folder = Folder::new();
    let path = folder.path("packed");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        let target = folder.path("out");
        let problem = unpack(&BundleRef::Path(path.clone()), &target).expect_err("refused");
        assert!(!target.exists());
        problem.to_string()
    };
    let regular = tar::EntryType::Regular;
    for name in ["../x", "/etc/passwd", "a/b", "./bundle.toml", ".hidden", "a\\b", "-rf", "a\x1bb"] {
        expect_words(&refused(&tar_of(name.as_bytes(), regular, 0)), &["not a plain file name", "bundle pack"]);
    }
    expect_words(&refused(&tar_of(b"a\xff", regular, 0)), &["not a plain file name"]);
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::Fifo] {
        expect_words(&refused(&tar_of(b"visual.onnx", kind, 0)), &["visual.onnx", "not a regular file"]);
    }
    for kind in [tar::EntryType::XHeader, tar::EntryType::GNULongName, tar::EntryType::GNUSparse] {
        expect_words(&refused(&tar_of(b"visual.onnx", kind, 512)), &["not a regular file"]);
    }
    for size in [4096, u64::from(u32::MAX), 1 << 40, u64::MAX / 2, u64::MAX] {
        expect_words(&refused(&tar_of(b"visual.onnx", regular, size)), &["packed"]);
    }
    let twice = [&tar_of(b"visual.onnx", regular, 0)[..512], &tar_of(b"visual.onnx", regular, 0)].concat();
    expect_words(&refused(&twice), &["visual.onnx", "twice"]);
    let many: Vec<u8> = (0..65).flat_map(|i| tar_of(format!("f{i}").as_bytes(), regular, 0)[..512].to_vec()).collect();
    expect_words(&refused(&many), &["more than 64 files"]);
}

#[test]
fn truncated_packed_files_are_refused() {
    let folder = Folder::new();
    Builder::new().write(&folder.bundle());
    let path = folder.path("packed");
    pack(&folder.reference(), &path, IfExists::Fail).expect("packs");
    let whole = fs::read(&path).expect("read");
    // The last bytes are padding and the end mark of the archive, which nothing depends on.
    for length in (0..whole.len() - 1536).step_by(300) {
        fs::File::create(&path).expect("made").write_all(&whole[..length]).expect("written");
        let problem = Bundle::open(&BundleRef::Path(path.clone())).err();
        expect_words(
            &problem.unwrap_or_else(|| panic!("opened at {length} of {}", whole.len())).to_string(),
            &["packed"],
        );
    }
}

/// Changed bytes: the position as a fraction of the file, and the new value.
fn changes() -> impl Strategy<Value = Vec<(f64, u8)>> {
    proptest::collection::vec((0.0..1.0, any::<u8>()), 1..8)
}

fn apply(bytes: &mut [u8], changes: &[(f64, u8)]) {
    for (place, value) in changes {
        let at = (place * bytes.len() as f64) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte = *value;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Opening and verifying report a result for any content of a file, even if the hashes agree.
    #[test]
    fn no_change_of_a_file_causes_a_panic(file in 0usize..7, changes in changes(), cut in 0.0f64..2.0) {
        let builder = Builder::new();
        let mut files = builder.all_files();
        let mut manifest = None;
        match files.keys().nth(file).cloned() {
            Some(name) => {
                let bytes = files.get_mut(&name).expect("a file");
                apply(bytes, &changes);
                bytes.truncate((cut * bytes.len() as f64) as usize);
            }
            None => {
                let mut text = builder.manifest_for(&files).into_bytes();
                apply(&mut text, &changes);
                manifest = Some(text);
            }
        }
        let folder = Folder::new();
        fs::create_dir(folder.bundle()).expect("made");
        let manifest = manifest.unwrap_or_else(|| builder.manifest_for(&files).into_bytes());
        fs::write(folder.bundle().join("bundle.toml"), manifest).expect("written");
        for (name, bytes) in &files {
            fs::write(folder.bundle().join(name), bytes).expect("written");
        }
        verify(&folder.reference(), &mut |_, outcome| {
            if let Err(problem) = outcome {
                assert!(!problem.contains('\n'), "several lines: {problem}");
            }
        });
    }

    /// The same for a packed file and for unpacking it.
    #[test]
    fn no_change_of_a_packed_file_causes_a_panic(changes in changes(), cut in 0.0f64..2.0) {
        let folder = Folder::new();
        Builder::new().write(&folder.bundle());
        let path = folder.path("packed");
        pack(&folder.reference(), &path, IfExists::Fail).expect("packs");
        let mut bytes = fs::read(&path).expect("read");
        apply(&mut bytes, &changes);
        bytes.truncate((cut * bytes.len() as f64) as usize);
        fs::write(&path, bytes).expect("written");
        drop(unpack(&BundleRef::Path(path), &folder.path("out")));
    }
}
