"""The house rules as data: layers that point one way, small modules, light imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "img2mesh"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CEILING = 400  # lines a module
GRAPH_CEILING = 900  # lines the whole engine
ROOT_CEILING = 7  # modules beside the folders

#: A module imports only from layers before its own, or from its own folder; lazily or not.
#: Folders of one layer do not know each other.
LAYERS = [
    ["errors"],
    ["graph", "core"],
    ["imaging"],
    ["geometry"],
    ["io"],
    ["artifacts"],
    ["diffusion"],
    [
        "segmentation",
        "multiview",
        "pose",
        "field",
        "meshing",
        "texture",
        "export",
        "report",
    ],
    ["training"],
    ["evaluation"],
    ["pipeline"],
    ["pages"],
    ["settings"],
    ["jobs"],
    ["worker"],
    ["batch", "web"],
    ["api"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
BANNED = ("trust_remote_code", "custom_pipeline", "import pickle", "allow_pickle=True")
DRAWERS = ("utils", "util", "common", "helpers", "misc")
HEAVY = ("torch", "diffusers", "transformers", "open3d", "cv2", "scipy", "trimesh", "nerfacc")


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


@cache
def imports_of(module: str) -> frozenset[tuple[int, str]]:
    """(line, module of ours) of every import, also inside functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(node.lineno, a.name) for a in node.names if a.name in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add((node.lineno, whole if whole in MODULES else node.module))
    return frozenset(found)


def folder_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def test_imports_point_to_earlier_layers() -> None:
    wrong = []
    for module in MODULES:
        here = folder_of(module)
        assert here in RANK, f"{here} has no place in the house: add it to LAYERS"
        wrong += [
            f"{module}:{line} imports {target}"
            for line, target in imports_of(module)
            if folder_of(target) != here and RANK[folder_of(target)] >= RANK[here]
        ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {m: {target for _, target in imports_of(m)} - {m} for m in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"these modules import each other: {error.args[1]}") from None


def test_modules_are_small_safe_and_named_after_their_idea() -> None:
    wrong = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        count = len(text.splitlines())
        wrong += [f"{module} has {count} lines: split it by idea"] if count > CEILING else []
        wrong += [f"{module} contains {word}" for word in BANNED if word in text]
        wrong += [
            f"{module}: {line.strip()} must say weights_only=True"
            for line in text.splitlines()
            if "torch.load(" in line and "weights_only=True" not in line
        ]
        wrong += [f"{module} is a drawer"] if path.stem in DRAWERS else []
    assert not wrong, "\n".join(wrong)


def test_the_root_and_the_engine_stay_small() -> None:
    root = [p.name for p in PACKAGE.glob("*.py")]
    assert len(root) <= ROOT_CEILING, f"{len(root)} modules at the root: {root}"
    engine = sum(
        len(p.read_text(encoding="utf-8").splitlines()) for p in (PACKAGE / "graph").glob("*.py")
    )
    assert engine < GRAPH_CEILING, f"graph/ has {engine} lines: something came in that should not"


def loaded_after(code: str, *names: str) -> list[str]:
    """Which of the modules are loaded in a fresh interpreter after running the code."""
    script = f"{code}\nimport sys\nprint(*[n for n in {names!r} if n in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return run.stdout.split()


def test_heavy_libraries_load_only_when_work_starts() -> None:
    code = "import img2mesh, img2mesh.pipeline, img2mesh.cli, img2mesh.jobs.job, img2mesh.api"
    assert loaded_after(code, *HEAVY) == []


def test_help_needs_not_even_numpy() -> None:
    code = "import contextlib, io, img2mesh.cli as c\n"
    for command in (["run"], ["batch"], ["eval", "mesh"], ["serve"], ["plan"]):
        code += (
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
            f"    c.main([*{command!r}, '--help'])\n"
        )
    assert loaded_after(code, "numpy", "PIL", *HEAVY) == []
