//! Categories and lexicon phrases are selected by name; unknown names are refused with the nearest ones.

use bike_edge::recognition::{CategorySet, Mixture, Recognizer, Vocabulary, WordLayout, WordTable};

use crate::support::tables::{categories, difference, lexicon, numbers, push_all, recognizer, spec, table, unit_rows};

const D: usize = 8;

fn select(names: &[&str]) -> Result<Vocabulary, String> {
    let mut set = categories(3, 4, D, 1);
    set.names = ["riding a bicycle", "Playing Guitar", "swimming"].map(String::from).to_vec();
    let mut lexicon = lexicon(4, D, 2);
    lexicon.phrases = ["a cup of tea", "Swimming", "polish", "Polish"].map(String::from).to_vec();
    let names: Vec<String> = names.iter().copied().map(String::from).collect();
    Vocabulary::select(&names, &set, Some(&lexicon)).map_err(|error| error.to_string())
}

#[test]
fn case_and_surrounding_spaces_do_not_matter_and_order_is_kept() {
    let vocabulary = select(&["A Cup of Tea ", " playing guitar", "SWIMMING"]).unwrap();
    assert_eq!(vocabulary.names(), ["a cup of tea", "Playing Guitar", "swimming"]);
}

#[test]
fn entries_that_differ_only_in_case_are_distinguished() {
    assert_eq!(select(&["Polish"]).unwrap().names(), ["Polish"]);
    assert_eq!(select(&["polish"]).unwrap().names(), ["polish"]);
    assert_eq!(select(&["POLISH"]).unwrap().names(), ["polish"]);
}

#[test]
fn names_that_cannot_be_used_are_refused() {
    assert!(select(&["swimming", "Swimming "]).unwrap_err().contains("named twice"));
    assert!(select(&["  "]).unwrap_err().contains("empty"));
    assert!(select(&[]).unwrap_err().contains("at least one"));
}

#[test]
fn names_are_found_as_people_have_them() {
    let given = ["ACupOfTea", "playing_guitar", "\"Swimming\""];
    let vocabulary = select(&given).unwrap();
    assert_eq!(vocabulary.names(), select(&["a cup of tea", "playing guitar", "swimming"]).unwrap().names());
    assert!(select(&["playing guitar", "PlayingGuitar"]).unwrap_err().contains("named twice"));
    let error = select(&["SwimingPool", "swimming", "playing_gitar"]).unwrap_err();
    assert!(error.contains("2 names are not among") && error.contains("\"playing_gitar\" (nearest: "), "{error}");
    assert!(error.contains("SwimingPool"), "{error}");
}

#[test]
fn unknown_names_are_refused_with_the_nearest_ones() {
    let error = select(&["swiming"]).unwrap_err();
    assert!(error.contains("\"swiming\"") && error.contains("nearest: \"swimming\""), "{error}");
    assert!(select(&["tea cup"]).unwrap_err().contains("nearest: \"a cup of tea\""));
    assert!(select(&["bicycle riding"]).unwrap_err().contains("nearest: \"riding a bicycle\""));
    assert!(select(&["xxxxxxxxxxxxxxxx"]).unwrap_err().contains("inspect --lexicon"));
    let long = "swimming".repeat(100_000);
    assert!(select(&[&long]).unwrap_err().len() < 600);
}

#[test]
fn chosen_categories_score_as_they_do_among_all() {
    let set = categories(6, 4, D, 1);
    let mut phrases = lexicon(9, D, 3);
    phrases.words.shared = Some((table(D, &unit_rows(2, D, 5)), vec![3.0, 1.0]));
    let frames = numbers(4 * D, 7);

    let mut all = recognizer(spec(4), &set);
    push_all(&mut all, &frames, D);
    let all = all.scores().unwrap();

    let names = ["category 4", "phrase 8", "category 1", "phrase 0", "category 2"].map(String::from);
    let vocabulary = Vocabulary::select(&names, &set, Some(&phrases)).unwrap();
    let mut some = Recognizer::new(spec(4), vocabulary, None, None, None).unwrap();
    push_all(&mut some, &frames, D);
    let some = some.scores().unwrap();
    for (here, there) in [(0, 4), (2, 1), (4, 2)] {
        assert!((some.s_v[here] - all.s_v[there]).abs() < 1e-6);
        let rows = (some.saliency.row(here), all.saliency.row(there));
        assert!(difference(rows.0.iter().copied(), rows.1.iter().copied()) < 1e-6);
    }

    let single = Vocabulary::select(&names[3..4], &set, Some(&phrases)).unwrap();
    let mut single = Recognizer::new(spec(4), single, None, None, None).unwrap();
    push_all(&mut single, &frames, D);
    assert!((single.scores().unwrap().s_v[0] - some.s_v[3]).abs() < 1e-6);
}

/// Words of `count` texts at `positions`, mixed from one to three rows each.
fn mixed(count: usize, positions: usize, seed: u64) -> WordTable {
    let rows: Vec<u32> = (0..count).map(|text| text as u32 % 3 + 1).collect();
    let first = Mixture::row_starts(&rows);
    let total = first[count];
    let mix = table(positions, &numbers(total * positions, seed));
    let common = table(D, &unit_rows(positions, D, seed + 1));
    let own = table(D, &unit_rows(total, D, seed + 2));
    WordTable { own, layout: WordLayout::Mixed(Mixture { mix, common, first }), shared: None }
}

/// Selects some categories and phrases in any order, with words mixed at other positions or not at all. Each has the
/// same score and saliency as among all of its kind. Frames are pushed one by one, more than fit into the window.
#[test]
fn chosen_mixed_words_score_as_they_do_among_all() {
    let (mut set, mut phrases) = (categories(6, 1, D, 1), lexicon(9, D, 3));
    set.words = mixed(6, 20, 11);
    set.words.shared = Some((table(D, &unit_rows(2, D, 5)), vec![1.0; 2]));
    let frames = numbers(7 * D, 7);
    let scores = |vocabulary: Vocabulary| {
        let mut recognizer = Recognizer::new(spec(4), vocabulary, None, None, None).unwrap();
        push_all(&mut recognizer, &frames, D);
        recognizer.scores().unwrap().clone()
    };
    for phrase_words in [mixed(9, 5, 12), phrases.words.clone()] {
        phrases.words = phrase_words;
        let as_set = CategorySet {
            names: phrases.phrases.clone(),
            category: phrases.retrieval.clone(),
            words: phrases.words.clone(),
            attribute: None,
        };
        let all = [scores(Vocabulary::from_categories(&set)), scores(Vocabulary::from_categories(&as_set))];
        let chosen = [(0, 4), (1, 8), (0, 1), (1, 0), (0, 2)];
        let names = chosen.map(|(kind, k)| format!("{} {k}", ["category", "phrase"][kind]));
        let some = scores(Vocabulary::select(&names, &set, Some(&phrases)).unwrap());
        for (at, (kind, k)) in chosen.into_iter().enumerate() {
            assert_eq!(some.s_v[at], all[kind].s_v[k], "{}", names[at]);
            assert_eq!(some.saliency.row(at), all[kind].saliency.row(k), "{}", names[at]);
        }
    }
}

#[test]
fn phrases_of_another_width_cannot_be_categories() {
    let set = categories(2, 4, D, 1);
    let names = ["category 0", "phrase 0"].map(String::from);
    let vocabulary = Vocabulary::select(&names, &set, Some(&lexicon(3, D + 1, 2))).unwrap();
    let refused = Recognizer::new(spec(4), vocabulary, None, None, None).err().expect("should have been refused");
    assert!(refused.to_string().contains("`sentence` table of 8"));
    // Phrases that are not selected have no effect.
    let vocabulary = Vocabulary::select(&names[..1], &set, Some(&lexicon(3, D + 1, 2))).unwrap();
    Recognizer::new(spec(4), vocabulary, None, None, None).unwrap();
}
