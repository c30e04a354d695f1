"""Sentences of the held-out runs, and the digest by which every free choice is made."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")

# A full stop after these is not the end of a sentence.
ABBREVIATIONS = ("Mr", "Mrs", "Dr", "St", "Esq", "Messrs", "Capt", "Col", "Rev", "Hon", "viz", "etc", "No")
SENTENCE_END = re.compile(
    "".join(rf"(?<!\b{abbreviation})" for abbreviation in ABBREVIATIONS) + r"""[.!?]+['")]*(?=\s+["'(]?[A-Z]|\s*$)"""
)

# Anything else is a stage direction, a note, a number or a quotation begun elsewhere.
PLAIN_TEXT = re.compile(r"[A-Za-z ,;:.!?'-]+")
# Names of speakers and headings are set in capitals; LORD and GOD are the Bible's own spelling.
CAPITALS = re.compile(r"\b(?!LORD\b|GOD\b)[A-Z]{2,}\b")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a run, with its place there."""

    run: int
    """Number of the run in the whole corpus."""
    work: str
    """genre/title, as `austen/emma`."""
    start: int
    """Offset of its first character in the run's text."""
    text: str

    @property
    def genre(self) -> str:
        return genre_of(self.work)

    @property
    def words(self) -> list[re.Match[str]]:
        """The words as matches, so that a word can be exchanged where it stands."""
        return list(WORD.finditer(self.text))


def genre_of(work: str) -> str:
    """austen, bible or shakespeare: the three sources of the corpus."""
    return work.partition("/")[0]


def digest(task: str, run: int, text: str, choice: str = "") -> int:
    """A 64-bit number from (task, run, text): the only source of chance. `choice` names what is being decided."""
    material = "\x1f".join((task, str(run), text, choice)).encode()
    return int.from_bytes(hashlib.sha256(material).digest()[:8], "big")


def split_sentences(run: dict) -> Iterator[Sentence]:
    """The sentences of a run, in order; a paragraph's end always ends one."""
    for paragraph in re.finditer(r"[^\n]+", run["text"]):
        start = paragraph.start()
        ends = [end.end() for end in SENTENCE_END.finditer(run["text"], start, paragraph.end())]
        for end in [*ends, paragraph.end()]:
            text = run["text"][start:end]
            if text.strip():
                yield Sentence(run["run"], run["work"], end - len(text.lstrip()), text.strip())
            start = end


def is_plain(sentence: Sentence) -> bool:
    """True for a whole sentence of plain words: no stage directions, speakers, numbers or loose quotation marks."""
    return (
        PLAIN_TEXT.fullmatch(sentence.text) is not None
        and CAPITALS.search(sentence.text) is None
        and sentence.text[0].isupper()
        and sentence.text[-1] in ".!?"
    )


def share_out(task_names: Sequence[str], sentence: Sentence) -> str:
    """The one of these tasks that may use this sentence: they never share one, so their errors are independent."""
    return task_names[digest("share", sentence.run, sentence.text) % len(task_names)]
