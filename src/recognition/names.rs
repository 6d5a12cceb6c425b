//! Names of categories as people have them: `ApplyEyeMakeup`, `brush_hair`, `BENCH PRESS`, `"high-five"`.

/// Quotes around a name, opening and closing.
const QUOTES: [(char, char); 5] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201c}', '\u{201d}'), ('\u{ab}', '\u{bb}')];

/// Returns a name as a text to read: without quotes around it, words separated by single spaces. `ApplyEyeMakeup` becomes
/// `apply eye makeup`, `brush_hair` becomes `brush hair`. A text with spaces keeps its letters, and so do names such as
/// `McDonalds` and `DVDs`.
pub fn spoken_name(name: &str) -> String {
    let name = unquoted(name.trim());
    if !name.contains(char::is_whitespace) {
        let words = words_of(name);
        let short = words.iter().any(|word| word.chars().count() < 3);
        if name.contains('_') || words.len() >= 3 || (words.len() == 2 && !short) {
            return words.join(" ").to_lowercase();
        }
    }
    name.split(['_', ' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns the form of a name in which names are compared: case, spaces, hyphens, underscores and quotes around it do not
/// matter.
pub(super) fn comparison_key(name: &str) -> String {
    let separator = |c: &char| c.is_whitespace() || matches!(c, '-' | '_');
    unquoted(name.trim()).chars().filter(|c| !separator(c)).flat_map(char::to_lowercase).collect()
}

/// Returns the index of the entry with this name: an equal one, or else the first that differs only in spelling.
pub fn find_name(name: &str, entries: &[String]) -> Option<usize> {
    let equal = entries.iter().position(|entry| entry == name);
    equal.or_else(|| {
        let key = comparison_key(name);
        entries.iter().position(|entry| comparison_key(entry) == key)
    })
}

/// Removes quotes that stand at both ends.
fn unquoted(name: &str) -> &str {
    let pair = QUOTES.iter().find_map(|(open, close)| name.strip_prefix(*open)?.strip_suffix(*close));
    pair.map_or(name, str::trim)
}

/// Splits a name at underscores and before capital letters that begin a word: `HTMLPage_2` is `HTML`, `Page`, `2`.
fn words_of(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        // The plural of an abbreviation is one word.
        let plural = characters[at + 1..] == ['s'];
        let word_follows = characters.get(at + 1).is_some_and(|next| next.is_lowercase()) && !plural;
        let begins = character.is_uppercase()
            && before.is_some_and(|before| before.is_lowercase() || (before.is_uppercase() && word_follows));
        if character == '_' || begins {
            words.push(String::new());
        }
        if character != '_'
            && let Some(word) = words.last_mut()
        {
            word.push(character);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_texts_to_read() {
        for (name, spoken) in [
            ("ApplyEyeMakeup", "apply eye makeup"),
            ("brush_hair", "brush hair"),
            ("Brush_Hair", "brush hair"),
            ("\"walking the dog\"", "walking the dog"),
            ("the horses'", "the horses'"),
            ("  playing   ten pins ", "playing ten pins"),
            ("BENCH PRESS", "BENCH PRESS"),
            ("TaiChi", "tai chi"),
            ("HTMLPage", "html page"),
            ("archery", "archery"),
            ("Archery", "Archery"),
            ("high-five", "high-five"),
            ("TV", "TV"),
            ("DVDs", "DVDs"),
            ("McDonalds", "McDonalds"),
            ("iPhone", "iPhone"),
            ("", ""),
        ] {
            assert_eq!(spoken_name(name), spoken, "{name}");
        }
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        for (one, other) in [
            ("BENCH PRESS", "bench press"),
            ("BenchPress", "bench press"),
            ("YoYo", "yo yo"),
            ("YouTube", "youtube"),
            ("brush_hair", "Brush hair"),
            ("high-five", "high five"),
            ("'draw sword'", "draw_sword"),
        ] {
            assert_eq!(comparison_key(one), comparison_key(other));
        }
        assert_ne!(comparison_key("jump"), comparison_key("jumping"));
    }
}
