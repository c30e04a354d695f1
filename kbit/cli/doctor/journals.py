"""Cells that were open when their writer died, and files that dead writers left."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.store.writers import shard_of
from kbit.upkeep import inventory
from kbit.upkeep.finding import Finding
from kbit.upkeep.tracks import Track, read_tracks
from kbit.upkeep.verify.leftovers import leftovers


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    tracks = {model: track_of(model) for model in inventory.model_folders()}
    running = sum(len(track.running) for track in tracks.values())
    interrupted = {model: len(track.opened - track.running) for model, track in tracks.items()}
    if running:
        yield Finding("ok", f"{running} cells are being evaluated")
    if cells := sum(interrupted.values()):
        models = ", ".join(model for model, count in interrupted.items() if count)
        yield Finding(
            "note",
            f"{cells} cells were open when their job ended ({models}); the next job of their shard evaluates them last",
        )
    else:
        yield Finding("ok", f"journals of {len(tracks)} models; no cell was left open by a job that died")
    if left := leftovers():
        yield Finding("note", f"{len(left)} temporary files of writers that died: `kbit prune` lists them")


def track_of(model: str) -> Track:
    """What the journals of a model say about open cells.

    A shard that has its part has no open cell, so its journals, which may be gigabytes, are read only where others
    leave a cell open that they may have finished.
    """
    journals = inventory.journals(model)
    done = {part.stem for part in inventory.parts(model)}
    track = read_tracks([path for path in journals if shard_of(path) not in done])
    return read_tracks(journals) if track.opened - track.running else track
