"""How often cells were evaluated, by what journals say."""

from collections import Counter
from pathlib import Path

from kbit.store.lines import decode_line


def row_counts(folder: Path) -> Counter[str]:
    """Intact rows of any status in a model's journals, by cell id."""
    events = (decode_line(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines())
    return Counter(event.cell_id for event in events if event is not None and event.is_row)
