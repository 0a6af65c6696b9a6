"""What commands print on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from img2mesh.cli.streams import json_text


def say(line: str) -> None:
    """One line of the result."""
    sys.stdout.write(line + "\n")


def print_json(value: object) -> None:
    """The result of ``--json``."""
    say(json_text(value, indent=1))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as a terminal shows them; cells may hold rich's markup."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
