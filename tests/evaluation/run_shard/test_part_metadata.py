"""Where a part comes from stands in its footer: who wrote the file, and everybody who evaluated its rows."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from kbit.spec.errors import UserError
from kbit.store.parts import read_part


@pytest.fixture
def footer(job):
    """What the part's file says of itself."""

    def read() -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in pq.read_schema(job.part).metadata.items()}

    return read


def in_slurm(monkeypatch, job_id: str, node: str) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", job_id)
    monkeypatch.setenv("SLURMD_NODENAME", node)


def test_rows_of_two_slurm_jobs_each_name_their_own(job, footer, monkeypatch):
    in_slurm(monkeypatch, "11", "n1")
    with pytest.raises(UserError, match="is broken"):
        job.run(fault_at=[job.NAMES[3]])
    in_slurm(monkeypatch, "12", "n2")
    job.run()
    counts = dict(read_part(job.part).group_by("slurm_job_id", "node").len().rows_by_key(["slurm_job_id", "node"]))
    assert counts == {("11", "n1"): [(3,)], ("12", "n2"): [(5,)]}
    found = footer()
    assert (found["kbit_slurm_job_id"], found["kbit_node"]) == ("12", "n2")
    sources = json.loads(found["kbit_sources"])
    assert [(source["slurm_job_id"], source["node"], source["cells"]) for source in sources] == [
        ("11", "n1", 3),
        ("12", "n2", 5),
    ]
    assert {source["device"] for source in sources} == {"cpu"}
    assert sources[0]["first"] <= sources[0]["last"] <= found["kbit_began_at"] <= found["kbit_written_at"]


def test_a_rebuilt_part_names_those_who_evaluated_and_who_rebuilt_it(job, footer, monkeypatch):
    in_slurm(monkeypatch, "11", "n1")
    job.run()
    before = footer()
    job.part.unlink()
    monkeypatch.delenv("SLURM_JOB_ID")
    monkeypatch.delenv("SLURMD_NODENAME")
    assert job.run(fault="no worker was to be started").evaluated == 0
    after = footer()
    assert after["kbit_sources"] == before["kbit_sources"]
    assert "kbit_slurm_job_id" not in after
    assert after["kbit_written_at"] > before["kbit_written_at"]


def test_the_config_of_a_part_is_its_shard_file(job, footer):
    job.run()
    found = footer()
    assert found["kbit_config_digest"] == hashlib.sha256(job.file.read_bytes()).hexdigest()
    assert (found["kbit_model_id"], found["kbit_slice"], found["kbit_key"]) == (job.MODEL, "all", job.KEY)
    assert json.loads(found["kbit_package_versions"]).keys() == {"python", "pyarrow", "polars"}
    (source,) = json.loads(found["kbit_sources"])
    assert source["package_versions"].keys() == {"python", "numpy", "tokenizers", "safetensors"}
    assert found["kbit_git_commit"] == source["git_commit"]
    assert found["kbit_version"] == source["kbit_version"]
