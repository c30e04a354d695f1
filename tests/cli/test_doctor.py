"""`kbit doctor`: each check over a state that is well and over one that is not."""

import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml

from kbit.cli import main
from kbit.cli.doctor import CHECKS, cuda_kernels, head, hub, journals, kernels, results_folder, slurm, software, studies
from kbit.kernels import build
from kbit.store.head import LOCK, hold_results
from kbit.store.journal import JournalWriter, new_journal_path
from kbit.store.lines import encode_line
from kbit.store.paths import fetched_model_path, journal_folder, part_path
from kbit.store.writers import this_host
from kbit.upkeep.finding import Finding
from kbit.upkeep.slurm import Job, Queue

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()


def only(check) -> Finding:
    (finding,) = check.check([])
    return finding


def levels(check, *named: Path) -> list[str]:
    return [finding.level for finding in check.check(list(named))]


def test_this_environment_lacks_nothing():
    needed = software.needed_packages()
    assert {"torch", "polars", "snakemake", "lm-eval"} <= set(needed)
    assert "pytest" not in needed  # extras are nobody's need
    assert "problem" not in levels(software)
    assert len(software.locked_versions(software.LOCK)) > len(needed)


def test_a_package_that_is_missing_or_of_another_version_is_named():
    missing, other = software.compare(["no-such-package", "polars"], {"polars": "0.0.1"})
    assert (missing.level, missing.do) == ("problem", "pip install no-such-package")
    assert other.level == "note"
    assert "(tested: 0.0.1)" in other.what


def test_a_folder_that_can_be_used_is_well():
    assert set(levels(results_folder)) == {"ok"}
    assert list(Path("results").iterdir()) == []


def test_a_disk_that_takes_nothing_is_a_problem(monkeypatch):
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results_folder.os, "fsync", full)
    first = next(results_folder.check([]))
    assert (first.level, "No space left on device" in first.what) == ("problem", True)


def test_little_room_is_told(monkeypatch):
    monkeypatch.setattr(results_folder, "LITTLE_BYTES", 1e30)
    assert next(results_folder.check_room(Path())).level == "note"
    monkeypatch.setattr(results_folder, "NO_BYTES", 1e30)
    assert next(results_folder.check_room(Path())).level == "problem"


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/data {tmp_path} nfs4 rw 0 0\nproc /proc proc rw 0 0\n")
    assert results_folder.file_system(tmp_path, mounts) == "nfs4"
    assert results_folder.file_system(Path("/"), mounts) == "ext4"


def test_who_holds_the_folder_is_told():
    assert only(head).what == "no run is at work, and none died"
    with hold_results():
        finding = only(head)
        assert finding.level == "ok"
        assert f"results/ is in use ({LOCK}): `kbit run`, process {os.getpid()} on " in finding.what
    with hold_results("kbit prune"):
        assert f"results/ is in use ({LOCK}): `kbit prune`, process " in only(head).what
    LOCK.write_text("`kbit retry`, process 1 on n1 since 2026-01-01 00:00 UTC")
    assert "was left by a command that died (`kbit retry`, process 1" in only(head).what
    LOCK.write_text("`kbit run`, process 1 on n1 since 2026-01-01 00:00 UTC")
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    finding = only(head)
    assert finding.level == "note"
    assert "was left by a head that died (`kbit run`, process 1 on n1" in finding.what
    assert "and Snakemake's own lock with it" in finding.what


def test_snakemake_s_lock_alone_is_a_problem_with_its_remedy():
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    finding = only(head)
    assert finding.level == "problem"
    assert "snakemake --unlock" in finding.do


def test_every_orphaned_job_has_its_command(monkeypatch):
    jobs = [Job(str(number), "RUNNING", "1:00", "old", "None", f"rule_evaluate_{number}") for number in (7, 8)]
    jobs.append(Job("9", "PENDING", "0:00", "now", "Priority", "rule_evaluate_9"))
    monkeypatch.setattr(slurm, "read_queue", lambda: Queue(jobs, current="now"))
    cared, first, second, all_of_them = slurm.check([])
    assert cared.what == "1 Slurm jobs of the run that is at work"
    assert [finding.do.partition("or: ")[2] for finding in (first, second)] == ["scancel 7", "scancel 8"]
    assert all_of_them.do.endswith("scancel --name old")
    assert {first.level, second.level, all_of_them.level} == {"problem"}
    monkeypatch.setattr(slurm, "read_queue", lambda: Queue(silence="squeue did not answer"))
    assert only(slurm).level == "note"
    monkeypatch.setattr(slurm, "read_queue", Queue)
    assert list(slurm.check([])) == []


def test_jobs_of_a_snakemake_started_by_hand_are_not_called_lost(monkeypatch):
    job = Job("7", "RUNNING", "1:00", "hand", "None", "rule_evaluate_7")
    monkeypatch.setattr(slurm, "read_queue", lambda: Queue([job], by_hand=frozenset({"hand"})))
    finding = only(slurm)
    assert finding.level == "note"
    assert finding.what == "1 Slurm jobs of a snakemake that was started by hand, run id hand"
    assert finding.do.endswith("scancel --name hand")


def open_journal(host: str) -> None:
    path = new_journal_path(journal_folder("m"), "all.0123456789ab")
    path = path.with_name(path.name.replace(f"{this_host()}-{os.getpid()}", host))
    with JournalWriter(path) as journal:
        journal.start("c" * 32, {})
    os.utime(path, (time.time() - 2e5, time.time() - 2e5))


def test_cells_that_were_open_when_their_job_died_are_counted():
    assert only(journals).level == "ok"
    open_journal("elsewhere-77")
    finding = only(journals)
    assert finding.level == "note"
    assert finding.what.startswith("1 cells were open when their job ended (m)")


def test_a_shard_that_has_its_part_left_no_cell_open():
    """A later job finished it, whose journal is no reason to read this one."""
    open_journal("elsewhere-77")
    part = part_path("m", "all", "0123456789ab")
    part.parent.mkdir(parents=True)
    part.touch()
    assert only(journals).level == "ok"


def test_a_cell_that_another_shard_finished_is_not_open():
    open_journal("elsewhere-77")
    path = new_journal_path(journal_folder("m"), "all.ba9876543210")
    path.write_bytes(encode_line("c" * 32, "ok", {}))
    part = part_path("m", "all", "ba9876543210")
    part.parent.mkdir(parents=True)
    part.touch()
    assert only(journals).level == "ok"


def test_cells_of_a_living_job_are_not_among_them():
    open_journal(f"{this_host()}-{os.getpid()}")
    assert [finding.level for finding in journals.check([])] == ["ok", "ok"]


def write_config(models: list[dict]) -> Path:
    Path("config").mkdir(exist_ok=True)
    Path("config/models.yaml").write_text(yaml.safe_dump({"models": models}))
    task = {"name": "piqa", "kind": "zero-shot", "metric": "acc", "chance": 0.5, "version": "1.0", "dataset": "piqa"}
    Path("config/tasks.yaml").write_text(yaml.safe_dump({"tasks": [task | {"revision": "0" * 40}]}))
    study = {"name": "s", "title": "S", "models": ["*"], "tasks": ["piqa"], "dtype": "float32"}
    Path("config/s.yaml").write_text(yaml.safe_dump(study))
    return Path("config/s.yaml")


def test_models_without_a_revision_are_named():
    path = write_config([{"name": "m", "family": "f", "hub_id": "some/model", "parameters": 10}])
    assert levels(studies) == ["note"]
    (finding,) = studies.check([path])  # one that is named is to be run
    assert finding.level == "problem"
    assert "1 models and tasks of the hub have no revision, so nothing is run (m)" in finding.what
    assert finding.do == "kbit pin config/models.yaml"


def test_a_study_that_can_be_run_is_well_and_a_broken_one_is_told():
    path = write_config([{"name": "m", "family": "f", "hub_id": "some/model", "revision": "0" * 40, "parameters": 10}])
    assert only(studies).what == "config/s.yaml: 1 cells of 1 models"
    path.write_text("name: s\n")
    assert levels(studies) == ["note"]
    assert levels(studies, path) == ["problem"]
    path.write_text("name: [")
    assert levels(studies)[0] == "problem"


def test_fetched_models_that_left_the_cache_are_told():
    assert next(hub.check([])).level == "ok"
    stamp = fetched_model_path("some-model")
    stamp.parent.mkdir(parents=True)
    files = [{"name": "config.json", "bytes": 3}]
    stamp.write_text(json.dumps({"kind": "model", "hub_id": "some/model", "commit": "0" * 40, "files": files}))
    finding = next(hub.check([]))
    assert finding.level == "note"
    assert "1 of 1 fetched models and data sets are no longer whole" in finding.what


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_all_checks_run_and_the_exit_code_tells_of_problems(options, monkeypatch, capsys):
    monkeypatch.setattr("kbit.cli.doctor.CHECKS", [check for check in CHECKS if "device" not in check.__module__])
    for problem, code in ((False, 0), (True, 1)):
        if problem:
            Path(".snakemake/locks").mkdir(parents=True)
            Path(".snakemake/locks/0.input.lock").touch()
        monkeypatch.setattr(sys, "argv", ["kbit", "doctor", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
        printed = capsys.readouterr().out
        if options:
            assert json.loads(printed)["problems"] == code
        else:
            assert ("-> wait for it; if none runs: snakemake --unlock" in printed) == problem


def test_a_check_is_a_file_of_its_own():
    files = {path.stem for path in (REPOSITORY / "kbit/cli/doctor").glob("*.py")} - {"__init__"}
    assert files == {check.__module__.rpartition(".")[2] for check in CHECKS}


def test_cpu_kernels_are_kept_built_or_missed(require, tmp_path, monkeypatch):
    compiler = require("compiler")
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert only(kernels).what == f"CPU kernels: {compiler} builds them for the first job that is large enough"
    library = build.cache_folder() / build.library_name()
    library.touch(mode=0o700)
    assert only(kernels).what == f"CPU kernels: {library}"
    library.chmod(0o777)  # anybody's
    assert "builds them" in only(kernels).what
    build.cache_folder().chmod(0o777)
    assert (only(kernels).level, "builds them anew" in only(kernels).what) == ("note", True)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert (only(kernels).level, "no C++ compiler" in only(kernels).what) == ("note", True)


def test_cuda_kernels_have_a_compiler_and_a_place(tmp_path, monkeypatch):
    versions = {"cuda-core": "1.2.2", "nvidia-cuda-nvrtc": "13.5.37"}
    monkeypatch.setattr(cuda_kernels, "version", lambda name: versions[name])
    monkeypatch.setenv("KBIT_KERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    told = only(cuda_kernels).what
    assert told.startswith("CUDA kernels: cuda.core 1.2.2, NVRTC 13.5.37, for no GPU on this machine; 0.0 MB kept in ")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))
    assert "for sm_90; " in only(cuda_kernels).what
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KBIT_KERNEL_CACHE", str(tmp_path / "file"))
    assert (only(cuda_kernels).level, "compiles them anew" in only(cuda_kernels).what) == ("note", True)


def test_a_gpu_without_a_compiler_of_its_kernels_is_a_problem(monkeypatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(cuda_kernels, "version", version)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert not list(cuda_kernels.check(()))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (8, 0))
    found = only(cuda_kernels)
    assert found.what == "kernels for sm_80 need cuda-core, which is not there: no weight can be quantized"
    assert (found.level, "make cuda" in found.do) == ("problem", True)
