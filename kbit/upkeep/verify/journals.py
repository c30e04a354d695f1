"""A journal: checksum of every line, schema of every row, and whether it lies where it belongs."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from kbit.spec.errors import UserError
from kbit.spec.models import model_slug
from kbit.store.lines import DEATH, START, Event, decode_line
from kbit.store.rows import check_row, decode_row
from kbit.store.writers import may_be_written, writer_of
from kbit.upkeep.finding import Finding
from kbit.upkeep.verify.identity import OTHER_CELL, names_another_cell
from kbit.upkeep.verify.records import Outcome, Records

PRUNE = "kbit prune --yes drops such lines; their cells are evaluated again where no other row of them exists"

UNKNOWN = "this release does not know"
NEWER = "use the release that wrote it"
AGAIN = "and run the study again: cells that no other file has a row of are evaluated again"


def check_journal(path: Path, records: Records) -> Iterator[Finding]:
    """Findings on one journal; its final rows go into `records`."""
    wrong: Counter[str] = Counter()
    try:
        with path.open("rb") as lines:
            for line in lines:
                event = decode_line(line)
                if event is None:
                    wrong["damaged" if line.endswith(b"\n") else "torn"] += 1
                elif event.what not in (START, DEATH) and (fault := check_event(event, records)):
                    wrong[fault] += 1
    except OSError as error:
        yield Finding("problem", f"journal {path} cannot be read: {error.strerror}", "see to the file system")
        return
    if wrong.pop("torn", 0) and not may_be_written(path):
        yield Finding(
            "note", f"journal {path}: its last line is torn, as when a job is killed; no other row is touched"
        )
    if damaged := wrong.pop("damaged", 0):
        yield Finding("problem", f"journal {path}: {damaged} lines fail their checksum", PRUNE)
    for fault, count in wrong.items():
        remedy = NEWER if UNKNOWN in fault else f"mv {quote(str(path))} elsewhere, {AGAIN}"
        yield Finding("problem", f"journal {path}: {count} rows: {fault}", remedy)
    if writer_of(path) is None:
        yield Finding("note", f"journal {path} has a name that kbit does not give; its rows count all the same")


def check_event(event: Event, records: Records) -> str:
    """What is wrong with a row whose checksum is right, or nothing."""
    if not event.is_row:
        return f"{UNKNOWN} what {event.what} is"
    try:
        content = json.loads(event.text)
        row = decode_row(content["row"], "the journal")
        check_row(row)
    except UserError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"not a row of this schema ({error})"
    if (row["cell_id"], row["status"]) != (event.cell_id, event.what):
        return "the line names another cell or status than its row"
    if model_slug(row["model_id"]) != records.model:
        return f"of the model {row['model_id']}, whose folder this is not"
    if names_another_cell(row):
        return OTHER_CELL
    if event.is_final:
        records.add_row(event.cell_id, Outcome.of(content["row"]))
    return ""
