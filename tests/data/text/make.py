"""Makes the goldens of the tokenizer, and the list of HTML entities that it decodes.

    models/export/.venv/bin/python tests/data/text/make.py

tokenizer.txt has the first of CLIP's merges (MIT, OpenAI), enough for every branch of the algorithm in a tenth of the
size. tokens.json has texts and their tokens by the exporter's tokenizer with these merges. With --merges 48894 --out
FOLDER the same is made with all merges of CLIP, for a test by hand.
"""

import argparse
import html.entities
import json
import random
import sys
import unicodedata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "models" / "export"))

import ftfy

from bike_export.text import tokenizer, vocabulary

BY_HAND = """
This is a video about abseiling
a photo of a cat
it's 42 dogs' çà ÅÖ émigré 日本語 naïve
don't; you'll, we've, I'm, he'd, they're, DON'T YOU'LL
 'sand 'tis 'ref 'd'd 's's ''s !'s
ABC   def\t12345!!!???
tom &amp;amp; jerry &amp;lt;b&amp;gt; &lt;b&gt; fish &amp; chips R&D AT&T; &copy 2024 &copy; &COPY; &notit; &notin; &not
&eacute; &EACUTE; &Eacute; &nTILDE; &SZLIG; &AMP; &AMP &hellip; &#233; &#xe9; &#XE9 &#0; &#128; &#x80; &#xD800; &#x110000; &#1; &#; &#x; &; &&amp;&
&amp;eacute; &amp;amp;amp;eacute; <b>&eacute;</b> <p> &amp;eacute; &nbsp;x&nbsp; &NotEqualTilde; &acE; &ngE; &bne;
“quoted” ‘single’ ‚low‛ „double‟ ʼn ŉ ﬁre ﬂy oﬃce ﬅ ﬆ Ĳssel ǲ ǆ
ＬＯＵＤ　ＮＯＩＳＥＳ Ｕﾀｰﾝ ｶﾞ ﾡ ￥ ￦ ｡
e\u0301 é n\u0303 a\u030a\u0301 \u1e69 \u0073\u0323\u0307 \u0345 α\u0345 \uac00 \u1100\u1161\u11a8
İstanbul DİYARBAKIR ΣΊΣΥΦΟΣ ΌΣΟΣ Σ ΑΣ. ΑΣ1 ΑΣα ẞ ß ſ 'ſ K Å
<|startoftext|> a <|endoftext|> b <|ENDOFTEXT|> x<|endoftext|>y !<|endoftext|>
ⅣⅧ ½ ² ٣٤ 一二 ㈱ ① Ⓐ ⓐ 𝔸𝟘 𐐀 𝒳
👩‍👩‍👧 🏳️‍🌈 🇩🇪 👍🏽 ☕️ ❤️ \u200b\u200d\u200e\u2060\ufeff x\u00ady
नमस्ते ภาษาไทย العربية עִבְרִית 한국어 Tiếng Việt Ελληνικά Русский ქართული 中文字符
a\u00a0b\u2003c\u3000d\u205fe\u1680f\u2028g\u0085h
don't_stop snake_case camelCase kebab-case path/to/file.txt user@example.com http://x.y/?q=1&r=2#z
$1,234.56 50% C++ C# #1 *** --- ... … – — ~ ^ ` | \\ / { } [ ] ( ) < > = +
riding a bicycle,driving a car,an empty room
This is a video about a dog,a cat,a horse,a tree,a street
\x1b[31mred\x1b[0m \x1b[1;2 x \x07bell \x00nul \x7fdel
"""  # noqa: E501
SIGNS = "\u0301\u0308\u0345'’\"&;#<>|,.!?-_/@€£½²③ⅣABCxyzßéÉçñøåΣσςЖжаاب日本語한국👍🏽❤️\u200d \t\u00a0\u3000ﬁ０Ａ"


def texts() -> list[str]:
    """Returns texts written by hand, texts from the lists of this repository, and random texts."""
    found = [
        "",
        " ",
        *[line for line in BY_HAND.split("\n") if line],
        "word " * 75,
        "word " * 76,
        "x" * 300,
        "?" * 200,
        "日" * 90,
    ]
    for list_file in sorted((ROOT / "models" / "lexicon").glob("*.txt"))[:6]:
        lines = [
            line for line in list_file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
        ]
        found += [f"This is a video about {line}" for line in lines[:: max(1, len(lines) // 12)]]
    draw = random.Random(7)
    found += ["".join(draw.choice(SIGNS) for _ in range(draw.randrange(1, 24))) for _ in range(150)]
    letters = [c for c in map(chr, range(0xA1, 0x3000)) if unicodedata.category(c)[0] in "LMNPS"]
    found += ["".join(draw.choice(letters) for _ in range(draw.randrange(1, 12))) for _ in range(60)]
    names = sorted(html.entities.html5)
    found += [" ".join(f"&{draw.choice(names)}" for _ in range(6)) for _ in range(20)]
    found += [" ".join(f"&{draw.choice(names).upper()}" for _ in range(6)) for _ in range(10)]
    return [t for t in dict.fromkeys(found) if not is_repaired(t)]


def is_repaired(text: str) -> bool:
    """Returns whether ftfy repairs a wrong decoding in a text. bike-edge does not repair such texts."""
    return ftfy.fix_text(text) != ftfy.fix_text(text, fix_encoding=False)


def write_names() -> None:
    """Writes src/text/references.txt: a name and its code points per line."""
    lines = [f"{name} {' '.join(f'{ord(c):x}' for c in text)}" for name, text in sorted(html.entities.html5.items())]
    (ROOT / "src" / "text" / "references.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Writes the goldens and the entities."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=4000, help="merges to use (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the goldens (default: %(default)s)")
    a = parser.parse_args()
    merges = vocabulary.merges()[: a.merges]
    tokenizer.merges = lambda: merges
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "tokenizer.txt").write_text("".join(f"{x} {y}\n" for x, y in merges), encoding="utf-8")
    pieces = tokenizer.pieces()
    start, end = pieces["<|startoftext|>"], pieces["<|endoftext|>"]
    assert len(pieces) == 514 + len(merges), "two merges give the same piece"
    goldens = [{"text": t, "tokens": [start, *tokenizer.encode(t), end]} for t in texts()]
    # One text per line, so that a change is readable.
    lines = ",\n".join(json.dumps(g) for g in goldens)
    (a.out / "tokens.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    write_names()
    print(f"{len(goldens)} texts, {len(merges)} merges")


if __name__ == "__main__":
    main()
