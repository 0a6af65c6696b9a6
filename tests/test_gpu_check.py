"""Every line of the GPU script runs on the pretend GPU, or is marked as needing the card."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.pretend_gpu import DEVICE, PretendGpu

SCRIPT = Path(__file__).parent.parent / "scripts" / "gpu_check.py"
MARK = "# needs the card"


class Marks(ast.NodeTransformer):
    """Has every statement of a function say its line before it runs."""

    def __init__(self) -> None:
        self.lines: set[int] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        for part in ast.walk(node):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(part, field, None)
                if isinstance(block, list):
                    setattr(part, field, [one for n in block for one in self._marked(n)])
        return node

    def _marked(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return [statement]  # a docstring
        self.lines.add(statement.lineno)
        mark = ast.parse(f"_ran({statement.lineno})").body[0]
        return [ast.copy_location(mark, statement), statement]


@pytest.fixture(scope="module")
def marks() -> Marks:
    return Marks()


@pytest.fixture(scope="module")
def script(marks: Marks) -> ModuleType:
    """The script; ``ran`` fills with the lines that run."""
    module = ModuleType("gpu_check")
    module.__file__, module.__doc__ = str(SCRIPT), "Check."
    tree = ast.fix_missing_locations(marks.visit(ast.parse(SCRIPT.read_text("utf-8"))))
    ran: set[int] = set()
    vars(module).update(ran=ran, _ran=ran.add)
    sys.modules["gpu_check"] = module  # its dataclass looks for it
    exec(compile(tree, str(SCRIPT), "exec"), vars(module))
    return module


def _excused() -> set[int]:
    """Lines that need the card, by their mark, and those of failing: the other test's."""
    source = SCRIPT.read_text("utf-8")
    text, found = source.splitlines(), set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt | ast.ExceptHandler):
            continue
        failing = isinstance(node, ast.ExceptHandler) or (
            isinstance(node, ast.FunctionDef) and node.name == "stop"
        )
        lines = range(node.lineno, (node.end_lineno or 0) + 1)
        if failing or MARK in text[node.lineno - 1]:
            found |= set(lines)
        elif isinstance(node, ast.If) and isinstance(node.body[-1], ast.Continue | ast.Return):
            found |= set(range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1))
    return found


def test_every_line_runs_without_a_card(script: ModuleType, marks: Marks, tmp_path: Path) -> None:
    output, threads = tmp_path / "check.json", torch.get_num_threads()
    torch.set_num_threads(1)
    with PretendGpu():
        code = script.main(["--device", str(DEVICE), "--tiny", "--output", str(output)])
    torch.set_num_threads(threads)
    report = json.loads(output.read_text())
    assert code == 0, report
    assert {n for n, one in report.items() if "skipped" in one} == {"profile", "nerfacc"}
    missed = marks.lines - script.ran - _excused()
    assert not missed, sorted(missed)


def test_a_check_that_fails_or_takes_too_long_leaves_the_others_alone(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import time

    def broken(where: Any) -> dict[str, Any]:
        raise RuntimeError("CUDA error")

    def endless(where: Any) -> dict[str, Any]:
        time.sleep(20)
        return {}

    def well(where: Any) -> dict[str, Any]:
        return {"good": True}

    monkeypatch.setattr(script, "CHECKS", {broken: 9, endless: 1, well: 9, script.profile: 9})
    output = tmp_path / "check.json"
    with PretendGpu():
        assert script.main(["--device", str(DEVICE), "--output", str(output)]) == 1
        report = json.loads(output.read_text())
        assert report["broken"]["failed"] == "RuntimeError: CUDA error"
        assert "longer than 1 s" in report["endless"]["failed"]
        assert report["well"]["good"] is True
        script.main(["--device", str(DEVICE), "--output", str(output), "--seconds", "-1"])
        script.main(["--device", str(DEVICE), "--output", str(output), "--only", "well"])
        assert json.loads(output.read_text()).keys() == {"well"}
    assert script.main(["--device", "cuda:77"]) == 2
    assert "there is no cuda:77 here" in capsys.readouterr().err
