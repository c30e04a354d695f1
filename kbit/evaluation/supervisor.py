"""Keeps workers at a shard's cells until each has a row: restarts the ones that die, and names what kills them."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from kbit.evaluation.cell_rows import cell_row
from kbit.evaluation.memory_deaths import MemoryDeaths, megabytes, name_of
from kbit.evaluation.process import Ending, run_process
from kbit.evaluation.worker import DEVICE_LOST, USER_ERROR
from kbit.spec.errors import UserError
from kbit.store.journal import JournalState, JournalWriter, new_journal_path, read_journal
from kbit.store.paths import journal_folder
from kbit.store.rows import Row
from kbit.store.shard_file import ShardCell, ShardFile

DEATHS_TO_CRASH = 2
SPECS_TO_GIVE_UP = 3


class Supervisor:
    """Evaluates cells of one shard through workers."""

    def __init__(self, shard: ShardFile, job: Mapping[str, object], command: Sequence[str]) -> None:
        """job: what every worker is told (kbit/evaluation/worker.py), but for its journal and its cells."""
        self.shard = shard
        self.job = dict(job)
        self.command = command
        self.rows: dict[str, Row] = {}
        self.deaths: Counter[str] = Counter()
        self.memory_deaths = MemoryDeaths(shard)
        self.finished_by_workers = 0

    def evaluate(self, cells: Sequence[ShardCell], known: JournalState) -> dict[str, Row]:
        """A row for every cell, by id. Cells that were open when an earlier job ended, as `known` says, go last.

        UserError for a fault of the model, a task or the node, and for want of memory; what was finished stays in the
        journal.
        """
        self.deaths.update(dict.fromkeys(known.open_starts, 0))
        for cell in cells:
            if vain := self.memory_deaths.in_vain(known.deaths.get(cell.cell_id, {}).values()):
                limits = ", ".join(megabytes(note["memory_limit_bytes"]) for note in vain)
                error = f"out of memory: its worker was killed in jobs with limits of {limits}"
                self.write_crashed(cell, vain[-1]["start"], error)
        while remaining := [cell for cell in cells if cell.cell_id not in self.rows.keys() | self.memory_deaths.cells]:
            self.attempt(self.order(remaining))
        if self.memory_deaths.cells:
            raise self.memory_deaths.error()
        return self.rows

    def order(self, cells: Sequence[ShardCell]) -> list[ShardCell]:
        """Spec by spec, as in the shard; those with a suspect cell last, the suspect itself at the very end."""
        places = {spec: place for place, spec in enumerate(dict.fromkeys(cell.spec for cell in cells))}
        suspect_specs = {cell.spec for cell in cells if cell.cell_id in self.deaths}
        return sorted(
            cells, key=lambda cell: (cell.spec in suspect_specs, cell.cell_id in self.deaths, places[cell.spec])
        )

    def attempt(self, cells: Sequence[ShardCell]) -> None:
        """Run one worker to its end and take in what its journal says."""
        journal = new_journal_path(journal_folder(self.shard.model), self.shard.name)
        job = {**self.job, "journal": str(journal), "cells": [cell.cell_id for cell in cells]}
        self.memory_deaths.watch()
        ending = run_process(self.command, job)
        state = read_journal(journal)
        new = {**state.failed, **state.rows}
        self.rows.update(new)
        self.finished_by_workers += len(new)
        if ending.code == USER_ERROR:
            raise UserError(ending.last_line)
        if self.memory_deaths.struck(ending):
            self.leave_to_more_memory(state, bool(new))
        elif ending.code not in (0, DEVICE_LOST) and state.open_starts:
            self.count_death(state, ending)
        elif not new:
            raise UserError(
                f"shard {self.shard.name}: its worker {ending.words} before its first cell: {ending.last_line}"
            )
        if ending.code == DEVICE_LOST:
            # auto would go on with the CPU where the next worker finds no GPU.
            self.job["device"] = "cuda"

    def leave_to_more_memory(self, state: JournalState, has_progressed: bool) -> None:
        """Go on without the cell at which memory ran out; UserError if it runs out wherever workers begin."""
        starving = [cell for cell in self.shard.cells if cell.cell_id in state.open_starts]
        for cell in starving:
            self.memory_deaths.note(cell, state.open_starts[cell.cell_id])
        specs = {cell.spec for cell in self.memory_deaths.cells.values()}
        is_everywhere = not self.finished_by_workers and len(specs) >= SPECS_TO_GIVE_UP
        if is_everywhere or not (starving or has_progressed):
            raise self.memory_deaths.error()

    def count_death(self, state: JournalState, ending: Ending) -> None:
        """Note which cell was open when a worker died; at the second time it is the cell's result."""
        for cell in self.shard.cells:
            if cell.cell_id not in state.open_starts:
                continue
            self.deaths[cell.cell_id] += 1
            what = f"its worker {ending.words}: {ending.last_line}"
            print(f"{name_of(cell)}: {what}", file=sys.stderr, flush=True)
            if self.deaths[cell.cell_id] >= DEATHS_TO_CRASH:
                self.write_crashed(cell, state.open_starts[cell.cell_id], what)
        self.check_node(ending)

    def check_node(self, ending: Ending) -> None:
        """UserError if workers die wherever they begin: that is the node or the model, and no cell's result."""
        specs = {cell.spec for cell in self.shard.cells if self.deaths[cell.cell_id]}
        if not self.finished_by_workers and len(specs) >= SPECS_TO_GIVE_UP:
            raise UserError(
                f"shard {self.shard.name}: workers died at {len(specs)} different specs and finished no cell; "
                f"the last one {ending.words}: {ending.last_line}"
            )

    def write_crashed(self, cell: ShardCell, source: dict[str, object], error: str) -> None:
        row = cell_row(self.shard, cell, "crashed", source, {"error": error})
        with JournalWriter(new_journal_path(journal_folder(self.shard.model), self.shard.name)) as journal:
            journal.row(row)
        self.rows[cell.cell_id] = row
