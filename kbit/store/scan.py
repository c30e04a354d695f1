"""Which cells are finished, read from a model's journals without decoding rows: for plans and progress."""

import re
from pathlib import Path

from kbit.spec.rows import FINAL_STATUSES
from kbit.store.journal import line_is_whole

ROW = re.compile(rb'"event":"row".*"cell_id":"([0-9a-f]+)"')
STATUS = re.compile(rb'"status":"([a-z]+)"')
FINAL = {status.encode() for status in FINAL_STATUSES}


class JournalScan:
    """Remembers how far it has read: looking again costs what was appended since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._finished: set[str] = set()
        self._read: dict[Path, int] = {}

    def finished_cells(self) -> set[str]:
        """Ids of the cells with a final row. A line still being written is left for the next look."""
        for journal in self.folder.glob("*.jsonl"):
            with journal.open("rb") as stream:
                stream.seek(self._read.get(journal, 0))
                appended = stream.read()
            end = appended.rfind(b"\n") + 1
            self._read[journal] = self._read.get(journal, 0) + end
            self._finished.update(filter(None, map(finished_cell, appended[:end].splitlines())))
        return self._finished


def finished_cell(line: bytes) -> str | None:
    """The cell id of a whole line that holds a final row, else None."""
    row, status = ROW.search(line), STATUS.search(line)
    if row is None or status is None or status.group(1) not in FINAL or not line_is_whole(line):
        return None
    return row.group(1).decode()
