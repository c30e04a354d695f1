"""Imports without garbage collection."""

import gc
import sys

import pytest

from kbit.evaluation.imports import import_quickly


def test_garbage_is_collected_again_after_an_import(tmp_path, monkeypatch):
    (tmp_path / "seen_by_the_collector.py").write_text("import gc\nENABLED = gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_quickly("json", "seen_by_the_collector")
    assert not sys.modules.pop("seen_by_the_collector").ENABLED
    assert gc.isenabled()
    gc.unfreeze()  # of this process: other tests may want their garbage found


def test_also_after_one_that_fails():
    with pytest.raises(ModuleNotFoundError):
        import_quickly("no_such_module_anywhere")
    assert gc.isenabled()
    gc.unfreeze()
