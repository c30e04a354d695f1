"""Whether code that comes with a model may run: what `kbit run-shard` was told is what its workers are told."""

import pytest

from kbit.evaluation.run_shard import run_shard


@pytest.mark.parametrize("given", [{}, {"trust_remote_code": False}, {"trust_remote_code": True}])
def test_workers_are_told(job, given):
    run_shard(job.file, job.part, threads=1, device="cpu", worker_command=job.command(), **given)
    assert [worker["trust_remote_code"] for worker in job.workers] == [given.get("trust_remote_code", False)]
