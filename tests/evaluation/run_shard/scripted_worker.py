"""A worker that keeps the protocol of `kbit.evaluation.worker` and does, at named cells, what a bad day would do.

    python scripted_worker.py '{"kill": ["int3-b64/a"], ...}'

Scores are made up from the cell's id. Keys: kill (ends itself by SIGKILL while the cell is open), raise (ends with a
traceback), fail (leaves a failed row), lose (leaves a failed row, then the device is lost), fault (a message: exits
2 before its first cell), fault_at (the same at a cell), hang (sleeps), count (a file that gets a line per start),
needs (bytes by cell, of the model at ""; it dies as the kernel would end it if the control group in the folder `group`
may hold less).
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from kbit.evaluation.cell_rows import cell_row
from kbit.evaluation.provenance import provenance, utc_now
from kbit.evaluation.worker import DEVICE_LOST, USER_ERROR, end_with_parent
from kbit.store.journal import JournalWriter
from kbit.store.shard_file import read_shard

SCRIPT = json.loads(sys.argv[1])


def meet(event: str, name: str) -> bool:
    return name in SCRIPT.get(event, [])


def take_memory(name: str) -> None:
    """What a cell needs, or the model if it is empty."""
    if "needs" not in SCRIPT:
        return
    limit, events = (Path(SCRIPT["group"], file) for file in ("memory.max", "memory.events"))
    if SCRIPT["needs"].get(name, 0) > int(limit.read_text()):
        kills = int(events.read_text().removeprefix("oom_kill "))
        events.write_text(f"oom_kill {kills + 1}")
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    if "count" in SCRIPT:
        with Path(SCRIPT["count"]).open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), **job}) + "\n")
    if "fault" in SCRIPT:
        print(f"kbit: {SCRIPT['fault']}", file=sys.stderr)
        return USER_ERROR
    take_memory("")
    shard = read_shard(Path(job["shard"]))
    cells = {cell.cell_id: cell for cell in shard.cells}
    with JournalWriter(Path(job["journal"])) as journal:
        return evaluate(shard, [cells[cell_id] for cell_id in job["cells"]], journal, job)


def evaluate(shard, cells, journal, job) -> int:
    for cell in cells:
        name = f"{cell.spec.slug}/{cell.task}"
        source = {**provenance(job["threads"], "cpu"), "started_at": utc_now()}
        journal.start(cell.cell_id, source)
        take_memory(name)
        if meet("hang", name):
            time.sleep(600)
        if meet("kill", name):
            os.kill(os.getpid(), signal.SIGKILL)
        if meet("raise", name):
            raise ZeroDivisionError(f"at {name}")
        if meet("fault_at", name):
            print(f"kbit: weight of {name} is broken", file=sys.stderr)
            return USER_ERROR
        if meet("fail", name) or meet("lose", name):
            journal.row(cell_row(shard, cell, "failed", source, {"error": "OSError: no answer"}))
            if meet("lose", name):
                return DEVICE_LOST
            continue
        score = int(cell.cell_id, 16) / 16**32
        metrics = [{"name": "acc", "value": score, "stderr": None, "n": 1}]
        values = {"metrics": metrics, "samples": [score], "n_items": 1, "n_tokens": 1, "seconds": 0.0}
        journal.row(cell_row(shard, cell, "ok", source, values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
