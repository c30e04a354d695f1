"""docs/rows.md says what the columns say."""

from pathlib import Path

from kbit.spec.rows_document import rows_document

ROOT = Path(__file__).parents[2]


def test_document_is_in_step_with_the_columns():
    assert (ROOT / "docs" / "rows.md").read_text() == rows_document(), (
        "run: python -m kbit.spec.rows_document > docs/rows.md"
    )
