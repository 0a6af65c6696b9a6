"""The record of a session: every check as JSON, and a page with one row a client and check."""

from __future__ import annotations

import datetime
import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """One test on one file.

    Attributes:
        client: name and version of the program that read the file.
        checked: what was checked, one sentence.
        file: which file.
        outcome: ``passed``, ``failed`` or ``skipped``.
        reason: why it failed or was skipped.
        figures: numbers by name; a name begins with ``least`` or ``largest``, whichever is worst.
    """

    client: str
    checked: str
    file: str
    outcome: str
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


PAGE = """# What other programs make of the files

Written by `make test-clients RECORD=docs/clients.md`; thresholds and their reasons stand in
`tests/clients`. Recorded on {date}, {system}, with {count} assets
({assets}).

| client | checked | files | result |
| --- | --- | --- | --- |
{rows}
{skipped}"""


def write_record(checks: list[Check], *, json_file: Path, page: Path | None) -> None:
    """Write ``json_file``, and the page where one is wanted."""
    json_file.write_text(
        json.dumps([asdict(c) for c in checks], indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    if page is not None:
        page.write_text(as_page(checks), encoding="utf-8")


def as_page(checks: list[Check]) -> str:
    """The page as Markdown."""
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.outcome != "skipped":
            groups.setdefault((check.client, check.checked), []).append(check)
    rows = [
        f"| {client} | {checked} | {len(group)} | {_result(group)} |"
        for (client, checked), group in groups.items()
    ]
    skipped = sorted({c.reason.removeprefix("Skipped: ") for c in checks if c.outcome == "skipped"})
    notes = "".join(f"\nNot checked: {reason}.\n" for reason in skipped)
    assets = {c.file.split("/")[0] for c in checks if "/" in c.file}
    return PAGE.format(
        date=datetime.date.today().isoformat(),
        system=f"{platform.system()} {platform.machine()}",
        count=len(assets),
        assets=", ".join(sorted(assets)),
        rows="\n".join(rows),
        skipped=notes,
    )


def _result(group: list[Check]) -> str:
    failed = [c.file for c in group if c.outcome == "failed"]
    parts = [f"**failed: {', '.join(failed)}**" if failed else "all pass"]
    names = dict.fromkeys(name for c in group for name in c.figures)
    for name in names:
        values = [c.figures[name] for c in group if name in c.figures]
        worst = min(values) if name.startswith("least") else max(values)
        parts.append(f"{name} {worst:.3g}")
    return "; ".join(parts)
