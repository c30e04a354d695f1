"""The place a study runs in, as far as the plan must know it: what a profile says of its GPUs and its node.

Keys of Snakemake's `config` beside `study`. A profile states them in a file of its own, which its profile.yaml names
(`configfile: hardware.yaml`): Snakemake drops a profile's `config:` as soon as the command line has a
`--config study=...`, but merges a config file with it. They decide what jobs ask for and nothing else: no identity,
slice or path depends on them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from kbit.spec.errors import UserError
from kbit.spec.section import Section, load_section, parse_section, read_yaml

OTHER_KEYS = ("study", "trust_remote_code")
"""The other keys of Snakemake's `config`: what `kbit run` sets."""
PROFILE_FILE = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
"""Names under which Snakemake looks for a profile in its folder; that of the highest version counts."""
USABLE = 0.9
"""Share of a card's memory that is left after the CUDA context and what the allocator cannot join."""


class Hardware(Section):
    """A place, by what a job of the study gets there."""

    gpu_memory_gb: float = Field(default=80, gt=0, description="Memory of one GPU, GB, as its maker states it.")
    gpu_tflops: float = Field(
        default=989, gt=0, description="Its nominal dense 16-bit rate, TFLOP/s: 989 for an H100, 312 for an A100."
    )
    max_gpus: int = Field(default=1, ge=0, description="GPUs one job may ask for; 0 computes everything on the CPU.")
    host_memory_gb: float = Field(default=128, gt=0, description="Host memory one job should ask for at most, GB.")
    read_gb_per_second: float = Field(
        default=1, gt=0, description="At which a job reads weights from the file system, others beside it, GB/s."
    )
    gpu_request: Literal["none", "gpus", "gres"] = Field(
        default="none",
        description="How a job gets its GPUs: none, it takes what it finds; gpus or gres, the scheduler's option.",
    )
    gpu_model: str | None = Field(
        default=None, pattern=r"^\w[\w.]*$", description="The scheduler's name of the GPUs to ask for; null: any."
    )

    @property
    def gpu_memory_bytes(self) -> float:
        """Usable memory of one GPU."""
        return USABLE * 1e9 * self.gpu_memory_gb

    @property
    def host_memory_bytes(self) -> float:
        return 1e9 * self.host_memory_gb


def hardware_of(config: Mapping[str, object], where: str = "Snakemake's config") -> Hardware:
    """The place that Snakemake's `config` describes; keys it lacks have their defaults. UserError for any other key."""
    return parse_section(Hardware, {key: value for key, value in config.items() if key not in OTHER_KEYS}, where)


def hardware_of_profile(profile: Path) -> Hardware:
    """The place of a Snakemake profile, as a run with `--profile` sees it.

    UserError: there is no such profile, it states its hardware where Snakemake would drop it, or states it wrongly.
    """
    file, content = read_profile(profile)
    if content.get("config"):
        raise UserError(f"{file}: Snakemake drops config: when a study is named; use configfile: with a file's name")
    if "configfile" not in content:
        return Hardware()
    named = content["configfile"]
    if not isinstance(named, str):
        raise UserError(f"{file}: configfile: {named!r} is not the name of one file, relative to the profile")
    # Snakemake's order: beside the profile, else relative to where it is run.
    beside = file.parent / named
    return load_section(Hardware, beside if beside.exists() else Path(named))


def read_profile(profile: Path) -> tuple[Path, dict]:
    """The file of a profile and what stands in it. UserError if there is none, or it is not a profile."""
    file = profile_file(profile)
    content = read_yaml(file) or {}
    if not isinstance(content, dict):
        raise UserError(f"profile {file} holds a {type(content).__name__}, not the mapping of a profile")
    return file, content


def profile_file(profile: Path) -> Path:
    """The file of a profile, which is named itself or by its folder. UserError if there is none."""
    if profile.is_file():
        return profile
    if not profile.is_dir():
        raise UserError(
            f"no profile folder {profile} (--profile); this project ships profiles/local and profiles/slurm"
        )
    found = {name: match for name in sorted(profile.iterdir()) if (match := PROFILE_FILE.fullmatch(name.name))}
    if not found:
        raise UserError(f"no profile.yaml in the folder {profile} (--profile)")
    return max(found, key=lambda name: int(found[name][1] or 0))
