"""A shard that cannot be evaluated is refused in one line before a worker is started."""

import json
import re
from dataclasses import replace

import pytest

from kbit.spec import members
from kbit.spec.errors import UserError
from kbit.spec.quant import CONTROL, QuantSpec


def test_unbuilt_options_are_refused_before_anything_is_evaluated(job, monkeypatch):
    monkeypatch.setitem(members.OUTLIER_RULES, "proxy", replace(members.OUTLIER_RULES["proxy"], built=False))
    unbuilt = QuantSpec(data_type="int", bits=4, block_size=64, outlier_fraction=0.02)
    job.write_shard(job.shard_json((CONTROL, unbuilt)))
    with pytest.raises(UserError, match="outlier_rule=proxy can be planned but not yet evaluated"):
        job.run()
    assert job.workers == []


DAMAGE = {
    "cannot be read": lambda _: "{",
    "is of shard version None, this release reads 1": lambda _: "[]",
    "is of shard version 2": lambda shard: json.dumps({**shard, "shard_version": 2}),
    "lacks or misstates 'dtype'": lambda shard: json.dumps({key: shard[key] for key in shard if key != "dtype"}),
    "was planned by another release": lambda shard: json.dumps({**shard, "dtype": "float16"}),
    "data_type 'imaginary' is not one of": lambda shard: json.dumps(shard).replace('"int"', '"imaginary"'),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_an_unusable_shard_file_is_named_with_its_remedy(message, job):
    job.file.write_text(DAMAGE[message](job.shard_json()))
    with pytest.raises(UserError, match=message) as caught:
        job.run()
    assert f"`rm {job.file}`" in str(caught.value)


@pytest.mark.parametrize("number", range(4), ids=["shard", "locator", "requests-a", "requests-b"])
def test_a_missing_input_is_named_before_a_worker_starts(number, job):
    path = job.inputs[number]
    path.unlink()
    with pytest.raises(UserError, match=rf"^no (shard )?file {re.escape(str(path))}"):
        job.run()
    assert job.workers == []
