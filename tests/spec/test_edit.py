"""Editing one entry of a data sheet leaves every other character as it was."""

import pytest
import yaml

from kbit.spec.edit import find_entries, read_values, set_values
from kbit.spec.errors import UserError

SHEET = """# A sheet: comments matter.
models:
  - {name: flow, hub_id: some/flow, parameters: 10}  # kept
  # between
  - name: block
    hub_id: some/block  # also kept
    parameters: 20

  - name: last
    hub_id: some/last"""


def edit(name, values):
    return set_values(SHEET, find_entries(SHEET, "models", "sheet.yaml")[name], values, after="hub_id")


@pytest.mark.parametrize("name", ["flow", "block", "last"])
def test_values_are_set_and_the_rest_is_unchanged(name):
    values = {"revision": "0123456", "parameters": 1234}
    before, after = (yaml.safe_load(text)["models"] for text in (SHEET, edit(name, values)))
    expected = [{**entry, **values} if entry["name"] == name else entry for entry in before]
    assert after == expected


def test_a_flow_entry_stays_on_its_line():
    expected = "{name: flow, hub_id: some/flow, revision: abc, parameters: 11}  # kept\n"
    assert edit("flow", {"parameters": 11, "revision": "abc"}) == SHEET.replace(
        "{name: flow, hub_id: some/flow, parameters: 10}  # kept\n", expected
    )


def test_a_block_entry_gets_a_line_behind_the_comment():
    expected = "    hub_id: some/block  # also kept\n    revision: abc\n    parameters: 20\n"
    assert edit("block", {"revision": "abc"}) == SHEET.replace(
        "    hub_id: some/block  # also kept\n    parameters: 20\n", expected
    )


def test_a_commit_of_digits_stays_text():
    entry = find_entries(edit("block", {"revision": "7100000000"}), "models", "sheet.yaml")["block"]
    assert read_values(entry)["revision"] == "7100000000"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "sheet.yaml is not YAML"),
        ("tasks: []", "sheet.yaml holds no list of models"),
        ("- 1", "sheet.yaml holds no list of models"),
        ("models:\n  - {hub_id: a/b}", "sheet.yaml, line 2: an entry of models has no name"),
    ],
)
def test_what_is_no_data_sheet_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        find_entries(text, "models", "sheet.yaml")
