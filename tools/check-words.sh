#!/usr/bin/env bash
# Checks code, comments, messages and docs for the words in tools/words.txt, and prints file, line and the better word.
# tools/words-allowed.txt lists legitimate uses.
set -euo pipefail
cd "$(dirname "$0")/.."

words=$PWD/tools/words.txt
allowed=$PWD/tools/words-allowed.txt
places=(src tests examples build build.rs fuzz benches board tools models/export README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md
    Cargo.toml Makefile .github docs ':!tools/words*.txt' ':!tools/check-words.sh' ':!models/export/.venv')
kinds='[.](rs|py|sh|md|c|toml|txt|yml|service|rules)$|/Makefile$|^Makefile$|^board/deb/'

die() { echo "check-words: $*" >&2; exit 2; }

# find_words GREP_OPTION PLACE...: prints every use that is not allowed.
find_words() {
    local option=$1 pattern better case uses
    shift
    while IFS=$'\t' read -r pattern better; do
        case $pattern in '#'* | '') continue ;; esac
        [ -n "$better" ] || die "tools/words.txt: no better word for $pattern; add one after a tab"
        case=-i
        [[ $pattern != *[A-Z][a-z]* ]] || case=
        uses=$(git grep "$option" -nIE $case "(^|[^[:alpha:]])($pattern)([^[:alpha:]]|\$)" -- "$@") || [ $? = 1 ] || die "$uses"
        [ -z "$uses" ] || grep -vEf <(grep -v '^#' "$allowed") <<<"$uses" | sed "s|\$|    <- use: $better|" || true
    done <"$words"
}

# Fails unless a listed word is found where it is, an allowed use is not, and a plain text passes.
self_test() {
    local folder
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' RETURN
    printf 'Reports events.\nThis stands alone.\nlet told_of = 1;\nThe event Goes On.\n' >"$folder/a.rs"
    printf 'Writes the storybook, and shows the outlook.\n' >"$folder/b.md"
    found=$(cd "$folder" && find_words --no-index . | sed 's/ *<- use: /|/' | sort)
    expected=$(printf '%s\n' 'a.rs:3:let told_of = 1;|report, emit, log, show or distinguish' \
        'a.rs:4:The event Goes On.|continue, or "is open" for an event' | sort)
    [ "$found" = "$expected" ] || die "self-test failed; found: $found"
}

self_test
found=$(find_words --untracked "${places[@]}" | awk -F: -v kinds="$kinds" '$1 ~ kinds' | sort -t: -k1,1 -k2,2n)
if [ -n "$found" ]; then
    echo "$found"
    echo "check-words: $(wc -l <<<"$found") uses of words that tools/words.txt replaces; reword them, or list a legitimate use in tools/words-allowed.txt" >&2
    exit 1
fi
echo "check-words: ok"
