"""One line of a journal: `<crc32> <cell id> <what> <json>`, where `what` is start, death, or the status of a row.

The checksum covers all that follows it. Cell and status stand before the JSON so that counting finished cells
parses none of it; the JSON names its event (start, death, row) and cell again, so that it can be read by itself.
"""

import json
import zlib
from dataclasses import dataclass

from kbit.spec.rows import FINAL_STATUSES, STATUSES

START = "start"
"""A cell is about to be evaluated."""
DEATH = "death"
"""What ended the worker that was at a cell, where another job may fare better."""


@dataclass(frozen=True, slots=True)
class Event:
    """A line whose checksum is right."""

    cell_id: str
    what: str
    """start, death, or the status of a row; a newer release may have written what this one does not know."""
    text: bytes
    """The content as JSON, unparsed."""

    @property
    def is_row(self) -> bool:
        return self.what in STATUSES

    @property
    def is_final(self) -> bool:
        return self.what in FINAL_STATUSES

    @property
    def content(self) -> dict:
        """What `encode_line` was given."""
        content = json.loads(self.text)
        del content["event"], content["cell_id"]
        return content


def encode_line(cell_id: str, what: str, content: dict) -> bytes:
    """A whole line, newline included. ValueError for a float that JSON lacks."""
    event = {"event": "row" if what in STATUSES else what, "cell_id": cell_id, **content}
    text = json.dumps(event, separators=(",", ":"), allow_nan=False)
    covered = f"{cell_id} {what} {text}".encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(covered), covered)


def decode_line(line: bytes) -> Event | None:
    """The event of a line, None if the line is torn or corrupted."""
    checksum, _, covered = line.removesuffix(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(covered):
        return None
    cell_id, what, text = covered.split(b" ", 2)
    return Event(cell_id.decode("ascii"), what.decode("ascii"), text)
