"""Write docs/stages.md from the stages' own signatures and docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

from img2mesh.pipeline import PIPELINE

TARGET = Path(__file__).parent.parent / "docs" / "stages.md"


def described(doc: str) -> tuple[str, dict[str, str]]:
    """(summary, parameter -> description) of a Google-style docstring."""
    summary, _, rest = doc.strip().partition("\n")
    _, _, arguments = rest.partition("Args:")
    found: dict[str, str] = {}
    for line in arguments.splitlines():
        name, colon, text = line.strip().partition(": ")
        if colon and name.isidentifier():
            found[name] = text
        elif found and line.strip():
            found[next(reversed(found))] += " " + line.strip()
    return summary, found


def page() -> str:
    """The whole page."""
    lines = ["# Stages", "", "Written by `scripts/stages_doc.py` from `img2mesh/pipeline.py`.", ""]
    lines += ["```mermaid", PIPELINE.mermaid(), "```", ""]
    for name in PIPELINE.order:
        stage = PIPELINE.stages[name]
        summary, arguments = described(stage.doc)
        inputs = ", ".join(f"`{i}`" for i in stage.inputs)
        lines += [f"## {name}", "", summary, "", f"From {inputs}; version {stage.version}.", ""]
        if stage.settings:
            lines += ["| setting | default | what |", "| --- | --- | --- |"]
            lines += [
                f"| `{name}.{key}` | `{setting.default!r}` | {arguments.get(key, '')} |"
                for key, setting in stage.settings.items()
            ]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__" and "--write" in sys.argv:
    TARGET.write_text(page(), encoding="utf-8")
