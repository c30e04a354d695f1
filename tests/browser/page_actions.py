"""What several tests do with an opened report."""


def twin_rows(opened, figure: str) -> list[dict[str, str]]:
    """The table twin of a figure, opened, as text."""
    opened.page.locator(f"#{figure} details.twin").evaluate("twin => { twin.open = true; }")
    opened.page.locator(f"#{figure} .twin table").wait_for()
    table = opened.page.locator(f"#{figure} .twin table")
    heads = table.locator("thead th").all_text_contents()
    cells = table.locator("tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return [dict(zip(heads, row, strict=True)) for row in cells]


def marks(opened, figure: str) -> int:
    """Points that Vega has drawn in a figure."""
    return opened.page.locator(f"#{figure} .chart .mark-symbol path").count()


def change(opened, action) -> None:
    """Do something that redraws, and wait for the end of the drawing."""
    action()
    opened.settle()
