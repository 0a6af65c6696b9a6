"""Write docs/stages.md from the stages' own signatures and docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

from img2mesh.graph import Graph
from img2mesh.pages.distilled import DISTILLATION
from img2mesh.pages.drawn import DRAWN
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
    source = "Written by `scripts/stages_doc.py` from `img2mesh/pipeline.py` and `img2mesh/pages/`."
    lines = ["# Stages", "", source, "", *described_graph(PIPELINE, PIPELINE.order)]
    lines += ["# `img2mesh run --text`", "", "The other stages are those above.", ""]
    lines += described_graph(DRAWN, ("photo",))
    lines += ["# `img2mesh distill`", "", "The other stages are those above.", ""]
    return "\n".join([*lines, *described_graph(DISTILLATION, ("refined",))])


def described_graph(graph: Graph, names: tuple[str, ...]) -> list[str]:
    """The lines on some stages of a graph, after its diagram."""
    lines = ["```mermaid", graph.mermaid(), "```", ""]
    for name in names:
        stage = graph.stages[name]
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
    return lines


if __name__ == "__main__" and "--write" in sys.argv:
    TARGET.write_text(page(), encoding="utf-8")
