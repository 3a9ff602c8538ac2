"""A table as notebooks show it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, bold: str = "") -> str:
    """The HTML of a table; every text in it is escaped.

    Args:
        columns: the headings.
        rows: the cells of each row, of which `str` is shown.
        bold: the first cell of a row that is emphasised.

    Example:
        >>> html_table(["image", "dice"], [["<a>", 0.5]])
        '<table><thead><tr><th>image</th><th>dice</th></tr></thead><tbody><tr><td>&lt;a&gt;</td>...'
    """
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cells(row, bold))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(row: Sequence[object], bold: str) -> list[str]:
    cells = [html.escape(str(cell)) for cell in row]
    if bold and cells[0] == bold:
        cells[0] = f"<b>{cells[0]}</b>"
    return [f"<td>{cell}</td>" for cell in cells]
