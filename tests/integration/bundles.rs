//! A bundle has the same content in a folder, a packed file and the binary, and packs and unpacks without loss.

use std::ffi::OsStr;
use std::fs;

use bike_edge::Error;
use bike_edge::bundle::{Bundle, BundleRef, pack, unpack, verify};
use bike_edge::io::IfExists;
use bike_edge::recognition::WordLayout;
use bike_edge::table::Dtype;

use crate::support::bundle::{Builder, DIM, Folder, PHRASES, WORDS, numbers, unit_f16, unit_i8, unit_rows};

#[test]
fn mixed_words_open_as_stored() {
    let words = Builder::new().mixed().open().expect("opens").categories().words.clone();
    let WordLayout::Mixed(mixture) = &words.layout else { panic!("words are mixed") };
    assert_eq!((words.own.rows(), mixture.positions()), (6, 5));
    assert_eq!(*mixture.first, [0, 2, 4, 6]);
    assert_eq!(words.shared.map(|(rows, _)| rows.rows()), Some(1));
}

#[test]
fn a_folder_opens_with_its_tables_as_stored() {
    let bundle = Builder::new().open().expect("opens");
    let categories = bundle.categories();
    assert_eq!(categories.names, ["running", "resting", "reading a book"]);
    assert_eq!((categories.category.rows(), categories.category.width()), (3, DIM));
    assert_eq!(categories.words.own.rows(), 3 * WORDS);
    let (shared, weights) = categories.words.shared.as_ref().expect("shared words");
    assert_eq!((shared.rows(), weights.as_slice()), (1, [3.0].as_slice()));
    let mut row = vec![0.0; DIM];
    categories.category.row_into(2, &mut row);
    assert_eq!(row, unit_rows(&[3, DIM], 11)[2 * DIM..]);
    let lexicon = bundle.lexicon().expect("a lexicon");
    assert_eq!((lexicon.phrases.len(), lexicon.retrieval.rows()), (PHRASES, PHRASES));
    assert!(lexicon.sentence.is_none() && lexicon.sentence_mean.is_none());
}

#[test]
fn quantised_and_optional_tables_are_read() {
    let (words, scales) = unit_i8(&[3, WORDS, DIM], 12);
    let bundle = Builder::new()
        .tensor("categories.safetensors", "category", unit_f16(&[3, DIM], 11))
        .tensor("categories.safetensors", "word", words)
        .tensor("categories.safetensors", "word_scale", scales)
        .tensor("categories.safetensors", "category_attribute", unit_f16(&[3, DIM], 14))
        .tensor("lexicon.safetensors", "sentence", unit_f16(&[PHRASES, DIM], 23))
        .tensor("lexicon.safetensors", "sentence_mean", numbers(&[DIM], &[0.25; DIM]))
        .open()
        .expect("opens");
    let categories = bundle.categories();
    assert_eq!(categories.category.dtype(), Dtype::F16);
    assert_eq!(categories.words.own.dtype(), Dtype::I8);
    assert!(categories.attribute.is_some());
    let lexicon = bundle.lexicon().expect("a lexicon");
    assert_eq!(lexicon.sentence_mean.as_deref(), Some([0.25; DIM].as_slice()));
    let mut row = vec![0.0; DIM];
    categories.words.own.row_into(1, &mut row);
    let exact = &unit_rows(&[3, WORDS, DIM], 12)[DIM..2 * DIM];
    assert!(row.iter().zip(exact).all(|(a, b)| (a - b).abs() < 0.01));
}

#[test]
fn the_embedded_bundle_passes_every_check() {
    let mut failures = Vec::new();
    let mut count = 0;
    let passed = verify(&BundleRef::Embedded, &mut |check, outcome| {
        count += 1;
        failures.extend(outcome.err().map(|problem| format!("{check}: {problem}")));
    });
    assert_eq!(failures, Vec::<String>::new());
    assert!(passed && count >= 8, "{count} checks");
}

#[test]
fn graphs_of_a_bundle_load_and_agree_with_its_manifest() {
    let bundle = Builder::new().open().expect("opens");
    let mut encoder = bundle.load_visual(1).expect("loads");
    let mut embedding = vec![0.0; encoder.dim()];
    encoder.encode(&vec![0.5; 3 * encoder.size() * encoder.size()], &mut embedding).expect("encodes");
    assert!(embedding.iter().any(|x| *x != 0.0));
    assert!(bundle.load_temporal(4, 1).expect("no error").is_none());
    assert!(bundle.load_composer(1).expect("no error").is_some());

    let wide = Builder::new().file("visual.onnx", crate::support::onnx::Onnx::frame_encoder(16, 9).encode());
    let problem = wide.open().expect("opens").load_visual(1).err().expect("too wide").to_string();
    assert!(problem.contains("embeddings of 9") && problem.contains("embedding_dim = 8"), "{problem}");
}

#[test]
fn packing_is_repeatable_and_loses_nothing() {
    let folder = Folder::new();
    Builder::new().file("README.md", "a card").write(&folder.bundle());
    let (one, two, back) = (folder.path("one.bike"), folder.path("two.bike"), folder.path("back"));
    pack(&folder.reference(), &one, IfExists::Fail).expect("packs");
    unpack(&BundleRef::Path(one.clone()), &back).expect("unpacks");
    pack(&BundleRef::Path(back.clone()), &two, IfExists::Fail).expect("packs again");
    assert_eq!(fs::read(&one).expect("one"), fs::read(&two).expect("two"));
    for entry in fs::read_dir(folder.bundle()).expect("the folder") {
        let entry = entry.expect("an entry");
        assert_eq!(fs::read(entry.path()).expect("a file"), fs::read(back.join(entry.file_name())).expect("its copy"));
    }
    let packed = Bundle::open(&BundleRef::Path(one)).expect("opens packed");
    assert_eq!(packed.readme(), Some("a card"));
    let mut row = vec![0.0; DIM];
    packed.categories().category.row_into(1, &mut row);
    assert_eq!(row, unit_rows(&[3, DIM], 11)[DIM..2 * DIM]);
}

#[test]
fn nothing_is_overwritten_without_permission() {
    let folder = Folder::new();
    Builder::new().write(&folder.bundle());
    let (file, other) = (folder.path("file"), folder.path("other"));
    fs::write(&file, "precious").expect("written");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("notes"), "precious").expect("written");

    let refused = |outcome: bike_edge::Result<()>| assert!(matches!(outcome, Err(Error::Output(_))), "{outcome:?}");
    refused(pack(&folder.reference(), &file, IfExists::Fail));
    refused(unpack(&folder.reference(), &other));
    refused(unpack(&folder.reference(), &file));
    assert_eq!(fs::read(&file).expect("still there"), b"precious");
    assert_eq!(fs::read(other.join("notes")).expect("still there"), b"precious");

    pack(&folder.reference(), &file, IfExists::Replace).expect("replaces a file if allowed");
    let target = folder.path("target");
    fs::create_dir(&target).expect("made");
    unpack(&BundleRef::Path(file), &target).expect("unpacks into an empty folder");
    refused(unpack(&folder.reference(), &target));
    let left: Vec<_> = fs::read_dir(folder.path("")).expect("the folder").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 4, "nothing temporary is left: {left:?}");
}

#[test]
fn a_broken_bundle_is_not_packed() {
    let folder = Folder::new();
    Builder::new().write(&folder.bundle());
    fs::write(folder.bundle().join("categories.txt"), "running\nresting\nreading a look\n").expect("written");
    assert!(pack(&folder.reference(), &folder.path("file"), IfExists::Fail).is_err());
    assert!(!folder.path("file").exists());
}

#[test]
fn verify_continues_after_a_failure() {
    let folder = Folder::new();
    Builder::new().write(&folder.bundle());
    fs::write(folder.bundle().join("categories.txt"), "running\nresting\nreading a look\n").expect("written");
    let mut failed = Vec::new();
    let mut passed = Vec::new();
    let all = verify(&folder.reference(), &mut |check, outcome| match outcome {
        Ok(()) => passed.push(check.to_owned()),
        Err(_) => failed.push(check.to_owned()),
    });
    assert!(!all);
    assert_eq!(failed, ["size and sha256 of categories.txt"]);
    assert!(passed.contains(&"lexicon".to_owned()), "{passed:?}");
}

#[test]
fn bundle_references_are_parsed() {
    assert_eq!(BundleRef::from(OsStr::new("embedded")), BundleRef::Embedded);
    assert_eq!(BundleRef::from(OsStr::new("./embedded")), BundleRef::Path("./embedded".into()));
}
