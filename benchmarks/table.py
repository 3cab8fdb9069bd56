"""Tables on the terminal."""

import sys
import time
from typing import Any


def tell(text: str) -> None:
    """Say on the error stream what is being done, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows that have the same keys under their keys; None, which was not measured, as a dash."""
    print(f"\n{title}")
    if not rows:
        return
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(),
            flush=True,
        )
