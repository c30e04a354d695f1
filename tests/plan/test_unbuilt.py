"""A member that a release lists but cannot evaluate: planned, and refused before anything is run."""

from dataclasses import replace

import pytest
from test_identity import STUDY, Config

from kbit.plan.plan import check_runnable
from kbit.spec import members
from kbit.spec.errors import UserError


def test_an_unbuilt_option_is_planned_but_refused(tmp_path, monkeypatch):
    study = {**STUDY, "grids": [{**STUDY["grids"][0], "outlier_fractions": [0.02]}]}
    plan = Config(tmp_path).plan(study=study)
    assert plan.unbuilt == []
    check_runnable(plan)
    monkeypatch.setitem(members.OUTLIER_RULES, "proxy", replace(members.OUTLIER_RULES["proxy"], built=False))
    assert plan.unbuilt == ["outlier_rule=proxy"]
    with pytest.raises(UserError, match=r"s\.yaml asks for outlier_rule=proxy, which this release plans but cannot"):
        check_runnable(plan)
