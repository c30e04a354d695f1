"""Evaluates cells of one shard, as the child of `kbit run-shard`: `python -m kbit.evaluation.worker`, the job on stdin.

The job is one line of JSON: shard (file), journal (file to create), cells (ids, in the order in which to evaluate
them), threads, device, gpus, trust_remote_code, device_memory_gb (or null). Standard input stays open as long as the
parent lives; when it ends, so does this process.
Exit codes: 0 all cells have a row; 2 a fault of the model, a task or the node, said in one line; 75 the device is
lost to this process and another one should go on; anything else is a crash.
"""

import json
import os
import sys
import threading

from kbit.evaluation.imports import import_quickly
from kbit.spec.errors import UserError

USER_ERROR, DEVICE_LOST = 2, 75


def main() -> int:
    """Run the job that stands on standard input."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    from kbit.evaluation.faults import DeviceLostError, describe

    try:
        evaluate(job)
    except UserError as error:
        print(f"kbit: {error}", file=sys.stderr, flush=True)
        return USER_ERROR
    except OSError as error:
        # Cells keep their own I/O faults; this one is the journal's: a full or failing disk.
        print(f"kbit: {describe(error)}", file=sys.stderr, flush=True)
        return USER_ERROR
    except DeviceLostError as error:
        print(f"the device is lost: {error}", file=sys.stderr, flush=True)
        # No cleanup: whatever touches the device again would raise.
        os._exit(DEVICE_LOST)
    return 0


def evaluate(job: dict) -> None:
    """Evaluate the job's cells; a device that is not there is refused before anything else is imported or read."""
    from kbit.evaluation.devices import choose_device

    import_quickly("torch")
    choose_device(job["device"], job.get("gpus", 0))
    import_quickly("kbit.evaluation.bench")
    from kbit.evaluation.bench import evaluate_job

    evaluate_job(job)


def end_with_parent() -> None:
    """Wait until the parent is gone, then end at once: nobody would read what is still to come."""
    while os.read(sys.stdin.fileno(), 4096):
        continue
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
