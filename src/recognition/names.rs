//! Names of categories as people have them: `ApplyEyeMakeup`, `brush_hair`, `BENCH PRESS`, `"high-five"`.

/// Returns a name as a text to read: without quotes around it, words separated by single spaces. `ApplyEyeMakeup` becomes
/// `apply eye makeup`, `brush_hair` becomes `brush hair`; a text with spaces keeps its letters.
pub fn spoken_name(name: &str) -> String {
    let name = name.trim().trim_matches(['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{ab}', '\u{bb}']).trim();
    if !name.contains(char::is_whitespace) && is_compound(name) {
        return words_of(name).join(" ").to_lowercase();
    }
    name.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the form of a name in which names are compared: case, hyphens and underscores do not matter.
pub(super) fn comparison_key(name: &str) -> String {
    let spoken = spoken_name(name).replace('-', " ").to_lowercase();
    spoken.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns whether words are joined by capital letters or underscores.
fn is_compound(name: &str) -> bool {
    name.contains('_') || words_of(name).len() > 1
}

/// Splits a name at underscores and before capital letters that begin a word: `HTMLPage_2` is `HTML`, `Page`, `2`.
fn words_of(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        let after = characters.get(at + 1).copied();
        let begins = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || (before.is_uppercase() && after.is_some_and(char::is_lowercase))
            });
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
            ("  playing   ten pins ", "playing ten pins"),
            ("BENCH PRESS", "BENCH PRESS"),
            ("YoYo", "yo yo"),
            ("HTMLPage", "html page"),
            ("archery", "archery"),
            ("Archery", "Archery"),
            ("high-five", "high-five"),
            ("TV", "TV"),
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
            ("brush_hair", "Brush hair"),
            ("high-five", "high five"),
            ("'draw sword'", "draw_sword"),
        ] {
            assert_eq!(comparison_key(one), comparison_key(other));
        }
        assert_ne!(comparison_key("jump"), comparison_key("jumping"));
    }
}
