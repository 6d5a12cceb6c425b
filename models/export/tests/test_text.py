"""Tokens agree with an independent tokenizer, and invalid label lists and lexicons are refused."""

import json
from pathlib import Path

import pytest

from bike_export.text.lists import read_labels, read_lexicon, read_prompts
from bike_export.text.tokenizer import TooLong, encode, pieces, tokenize
from bike_export.text.vocabulary import merges


def test_tokens_are_those_of_an_independent_tokenizer(tmp_path: Path):
    from transformers import CLIPTokenizerFast

    (tmp_path / "vocab.json").write_text(json.dumps(pieces()))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges())) + "\n")
    reference = CLIPTokenizerFast.from_pretrained(tmp_path)
    for text in [
        "This is a video about abseiling",
        "it's 42 dogs' çà ÅÖ émigré 日本語 naïve",
        "ABC   def\t12345!!!???",
        "",
        "don't; you'll, we've",
    ]:
        assert [49406, *encode(text), 49407] == reference(text)["input_ids"]


def test_tokens_of_a_known_text():
    assert list(tokenize(["a photo of a cat"])[0, :8]) == [49406, 320, 1125, 539, 320, 2368, 49407, 0]


def test_text_is_repaired_and_entities_are_decoded():
    assert encode("tom &amp;amp; jerry") == encode("tom & jerry")
    assert encode("“quoted”") == encode('"quoted"')


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(TooLong, match="at most 77 fit"):
        tokenize(["word " * 76])
    assert tokenize(["word " * 75])[0, 76] == 49407


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n0,a\n", "first line must be `id,name`"),
        ("", "l.csv: the file is empty; the first line must be `id,name`"),
        ("id,name\n", "no labels"),
        ("id,name\n0,a\n1,a\n", "line 3: 'a' is also on line 2"),
        ("id,name\n0,a\n1,\n", "l.csv, line 3: the name is empty"),
        ("id,name\n0, \n", "l.csv, line 2: the name is empty"),
        ('id,name\n0,""\n', "l.csv, line 2: the name is empty"),
        ("id,name\n0,\u3000\n", "l.csv, line 2: the name is empty"),
        ("id,name\n0,&nbsp;\n", "l.csv, line 2: the name '&nbsp;' is empty to the model"),
        ("id,name\n0,a\n\n1,b\n", "line 3: the line is empty"),
        ("id,name\n0,a,b\n", "3 columns"),
        ("id,name\n1,a\n", "id '1' where 0 is next"),
        ("id,name\n0,a\x01b\n", "control character"),
        ("id,name\n0,a\x90b\n", "control character"),
        ("id,name\n0,a\ufeffb\n", "control character"),
        (f"id,name\n0,{'x' * 513}\n", "more than 512 bytes"),
        ('id,name\n0,"a\n', "line 2"),
    ],
)
def test_bad_label_lists_are_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "l.csv")


def test_labels_are_read_with_quotes_and_byte_order_mark(tmp_path: Path):
    (tmp_path / "l.csv").write_bytes('\ufeffid,name\r\n0,"a, b"\r\n1,ç\r\n'.encode())
    assert read_labels(tmp_path / "l.csv") == ["a, b", "ç"]


def test_lexicons_have_comments_and_at_least_two_different_phrases(tmp_path: Path):
    file = tmp_path / "x.txt"
    file.write_text("# objects\na dog\na cat\n")
    assert read_lexicon(file) == ["a dog", "a cat"]
    for text, message in (
        ("", "0 phrases"),
        ("a\n", "1 phrases"),
        ("a\na\n", "also on line 1"),
        ("a\n\nb\n", "line 2: the name is empty"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_lexicon(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_lexicon(file)


def test_prompts_must_contain_braces_once():
    assert read_prompts(None) == ["This is a video about {}"]
    with pytest.raises(ValueError, match="needs {} once"):
        read_prompts(["a video"])
