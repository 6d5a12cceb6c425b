//! Known phrases near to an unknown one.

/// At most this many are named.
const COUNT: usize = 5;
/// Similarity below which a phrase is no help.
const LEAST: f64 = 0.3;

/// The known phrases most like `name`, best first, at most five: likeness of spelling (edit distance, swapped letters
/// counted once) and of words (shared out of all) count equally, whichever is larger most.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> heapless::Vec<&'a str, COUNT> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split_whitespace().collect();
    let mut best: heapless::Vec<(f64, &str), COUNT> = heapless::Vec::new();
    for phrase in known {
        let likeness = likeness(&name, &words, &phrase.to_lowercase());
        let place = best.iter().position(|(least, _)| likeness > *least).unwrap_or(best.len());
        if likeness < LEAST || place >= COUNT || best.iter().any(|(_, other)| *other == phrase) {
            continue;
        }
        if best.is_full() {
            best.pop();
        }
        // There is room: one was dropped where it was full.
        let _ = best.insert(place, (likeness, phrase));
    }
    best.into_iter().map(|(_, phrase)| phrase).collect()
}

/// 0 for nothing alike, 1 for the same.
fn likeness(name: &str, words: &[&str], phrase: &str) -> f64 {
    let spelling = strsim::normalized_damerau_levenshtein(name, phrase);
    let (mut shared, mut all) = (0.0, words.len() as f64);
    for word in phrase.split_whitespace() {
        if words.contains(&word) {
            shared += 1.0;
        } else {
            all += 1.0;
        }
    }
    let overlap = shared / f64::max(all, 1.0);
    f64::max(spelling, overlap) + f64::min(spelling, overlap) / 2.0
}
