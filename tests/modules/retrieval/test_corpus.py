"""A corpus is the same passages with the same ids, wherever it comes from."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.each import each
from tunesmith.errors import DataError, TunesmithError, UsageError
from tunesmith.modules import BM25, Chunking, Corpus
from tunesmith.modules.retrieval.corpus import as_corpus

MARKED = "Start here.\n\n# Cards\nA card is lost. Call us.\n\n## Fees\nNone.\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def test_sentences_are_packed_up_to_the_size_with_whole_sentences_in_common() -> None:
    text = "One two. Three four. Five six. Seven."

    assert Chunking("sentences", 6).cut(text) == ["One two. Three four.", "Five six. Seven."]
    assert Chunking("sentences", 6, 3).cut(text) == [
        "One two. Three four.",
        "Three four. Five six.",
        "Five six. Seven.",
    ]
    assert Chunking("sentences", 99).cut("猫在哪里？在家。") == ["猫在哪里？在家。"]
    assert Chunking("sentences", 5).cut("猫在哪里？在家。") == ["猫在哪里？", "在家。"]
    assert Chunking("sentences", 2).cut("one two three. four") == ["one two", "three.", "four"]


def test_sections_stay_apart() -> None:
    assert Chunking("headings").cut(MARKED) == ["Start here.", "# Cards\nA card is lost. Call us.", "## Fees\nNone."]


def test_characters_that_follow_a_word_are_tokens_of_their_own() -> None:
    assert Corpus.of(["iPhone手机壳很好"], by="tokens", size=3).texts == ("iPhone手机", "壳很好")


def test_tokens_are_cut_with_an_overlap() -> None:
    assert Chunking("tokens", 3, 1).cut("a b c d e") == ["a b c", "c d e"]
    assert Chunking("tokens", 3).cut("a b c d") == ["a b c", "d"]


@given(
    st.text(alphabet="ab. \n#猫。!-", max_size=60),
    st.sampled_from(["sentences", "headings", "tokens", "none"]),
    st.integers(1, 8),
    st.integers(0, 7),
)
def test_pieces_are_parts_of_the_document_and_lose_nothing(text: str, by: str, size: int, overlap: int) -> None:
    chunking = Chunking(by, size, min(overlap, size - 1))
    overlap, pieces = chunking.overlap, chunking.cut(text)

    assert all(piece.strip() and piece in text for piece in pieces)
    assert overlap or "".join("".join(pieces).split()) == "".join(text.split())
    assert by == "none" or all(len(chunking._tokens(piece, 0, len(piece))) <= size for piece in pieces)


@each("options", [{"by": "words"}, {"size": 0}, {"size": 5, "overlap": 5}, {"overlap": -1}, {"size": 2.5}])
def test_a_wrong_way_to_cut_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        Corpus.of(["a"], **options)


@each("texts", ["a text", [1], None, {"a": 1}, b"x"])
def test_what_is_no_text_is_refused(texts: Any) -> None:
    with pytest.raises(UsageError, match="must be a list of texts"):
        Corpus.of(texts)


def test_a_folder_gives_each_document_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    write(tmp_path, a_txt="Plain.", b_md=MARKED, c_jsonl='{"text": "Row one."}\n\n{"text": "Row two."}\n')
    write(tmp_path / "deep", d_csv="name,price\ntea,3\n")
    write(
        tmp_path,
        e_html="<html><head><title>x</title></head><body><h2>Tea</h2><p>Hot &amp; <b>st</b>rong.<script>1</script>",
    )
    found = Corpus.load(tmp_path)

    assert list(zip(found.sources, found.texts, strict=True)) == [
        ("a.txt", "Plain."),
        ("b.md", MARKED.strip()),
        ("c.jsonl:1", "Row one."),
        ("c.jsonl:3", "Row two."),
        ("deep/d.csv:2", "name: tea\nprice: 3"),
        ("e.html", "## Tea\n\nHot & strong."),
    ]
    assert Corpus.load(tmp_path / "deep" / "d.csv", field="name").texts == ("tea",)


def test_pages_of_a_pdf_are_documents(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(str(tmp_path / "empty.pdf"))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")

    assert Corpus.load(tmp_path / "empty.pdf").texts == ()
    with pytest.raises(DataError, match="cannot be read as a PDF"):
        Corpus.load(tmp_path / "broken.pdf")


@each(
    ("name", "content"),
    [
        ("a.txt", b"\xff\xfe\xfa"),
        ("a.jsonl", b"{"),
        ("a.jsonl", b'{"title": 1, "text": "x"}\n[1]'),
        ("a.png", b""),
        ("b", b""),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TunesmithError, match=name):
        Corpus.load(tmp_path / name)
    with pytest.raises(UsageError, match="does not exist"):
        Corpus.load(tmp_path / "nothing.txt")


def test_a_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, a_csv="name\ntea\n")
    with pytest.raises(DataError, match=r"has no text in `body`\. It has: name"):
        Corpus.load(tmp_path / "a.csv", field="body")


def test_ids_stay_when_other_documents_come_and_go() -> None:
    first = Corpus.of({"a": "One.", "b": "Two."})
    second = first.updated(Corpus.of({"b": "Two, again.", "c": "Three."}))

    assert dict(zip(second.sources, second.texts, strict=True)) == {"a": "One.", "b": "Two, again.", "c": "Three."}
    assert second.ids[0] == first.ids[0]
    assert second.updated(Corpus.of([]), removed=["b", "c"]) == Corpus.of({"a": "One."})
    with pytest.raises(UsageError, match=r"no source `d`, `e`, .*Its sources are: a, b\."):
        first.updated(Corpus.of({"d": "Four."}), removed=["b", "d", "e"])
    assert len(set(Corpus.of(["same", "same"]).ids)) == 2
    assert Corpus.of(["same"]).updated(Corpus.of(["same", "new"])).texts == ("same", "new")


def test_rows_of_a_newer_file_replace_those_of_the_older(tmp_path: Path) -> None:
    first = Corpus.load(write(tmp_path, a_csv="text\none\ntwo\n"))
    second = Corpus.load(write(tmp_path, a_csv="text\nthree\n"))

    assert first.updated(second).texts == ("three",)
    assert first.updated(Corpus.of([]), removed=["a.csv"]).texts == ()


@given(st.dictionaries(st.text(max_size=5), st.text(min_size=1, max_size=9).filter(str.strip), max_size=4))
def test_a_saved_corpus_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> None:
    corpus = Corpus.of(texts)
    file = tmp_path_factory.getbasetemp() / "corpus.jsonl"
    saved = corpus.save(file)

    assert Corpus.load(file) == saved == corpus
    assert as_corpus(json.loads(json.dumps(saved.to_json()))) == corpus
    assert as_corpus(json.loads(json.dumps(corpus.to_json()))) == corpus


def test_a_damaged_or_changed_corpus_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    saved = Corpus.of(["one", "two"]).save(file)
    described = BM25(saved).spec()["corpus"]
    Corpus.of(["three"]).save(file)
    with pytest.raises(UsageError, match="has changed"):
        BM25(described)

    file.write_text(file.read_text().replace("three", "four"))
    with pytest.raises(DataError, match="is damaged"):
        Corpus.load(file)
    with pytest.raises(DataError, match="cannot be written"):
        saved.save(tmp_path / "corpus.jsonl" / "below")


def test_a_comment_in_a_block_of_code_is_no_heading() -> None:
    code = "```sh\n# install\npip install x\n```"
    found = Corpus.of([f"# Setup\n{code}\nThen run it.\n# Use\nCall it.\n~~~\n# open"], by="headings")
    assert found.texts == (f"# Setup\n{code}\nThen run it.", "# Use\nCall it.\n~~~\n# open")
    inline = "```make``` is all.\n# Use\n```\n# one\n```py\n# two\n````\n# End"
    assert len(Corpus.of([inline], by="headings")) == 3


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here refuses to be read by everybody")
def test_a_file_in_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"a\.txt` cannot be read"):
        Corpus.load(tmp_path)


def test_a_folder_leaves_out_its_own_saved_corpus_and_says_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text("Alpha.")
    corpus = Corpus.load(tmp_path).save(tmp_path / "corpus.jsonl")
    assert Corpus.load(tmp_path) == corpus
    (tmp_path / ".git").mkdir()
    for name in ("b.docx", ".git/a.doc"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.warns(UserWarning, match=r"are not read: 1, such as `b.docx`"):
        assert Corpus.load(tmp_path) == corpus
