"""The house rules as data: who may import whom, how long a module may be, what loads when."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "img2mesh"
CEILING = 400  # lines a module
GRAPH_CEILING = 900  # lines the whole engine

FOUNDATION = [
    "errors",
    "environment",
    "cameras",
    "frozen",
    "artifacts",
    "engineparts",
    "enginefiles",
    "images",
    "raycast",
    "pixels",
    "glbpack",
    "ktx2",
    "glb",
    "usdz",
    "sheets",
    "backdrop",
    "matting",
    "camerafiles",
    "viewpictures",
    "hull",
    "coherence",
    "nearest",
    "viewchecks",
    "meshfiles",
    "viewfiles",
    "formats",
]
ROOMS = [
    "segmentation",
    "multiview",
    "depth",
    "field",
    "meshing",
    "texture",
    "export",
    "report",
    "evaluation",
]
DOORS = [
    "batch",
    "cli",
    "commands",
    "api",
    "jobs",
    "worker",
    "progress",
    "doctor",
    "models",
    "flags",
    "housekeeping",
    "measuring",
    "web",
]
SENTENCES = {
    "graph": "the engine knows nothing of pictures or meshes",
    "foundation": "the foundation knows no one",
    "room": "rooms know the foundation, never another room",
    "diffusion": "the maths of noise knows only errors and checkpoints of its own",
    "settings": "settings know the graph and nothing else",
    "corridor": "only the corridor knows the rooms",
    "door": "only the doors know the corridor",
}


def kind_of(module: str) -> str:
    if module in FOUNDATION:
        return "foundation"
    if module in ROOMS:
        return "room"
    if module in ("graph", "diffusion", "settings"):
        return module
    if module == "pipeline":
        return "corridor"
    if module in DOORS or module in ("__init__", "__main__"):
        return "door"
    return "unknown"


def allowed(kind: str, module: str) -> set[str]:
    foundation = set(FOUNDATION)
    match kind:
        case "graph":
            return {"errors", "graph"}
        case "foundation":
            # formats is the one file that speaks to the engine: it fills its table of codecs.
            return foundation | ({"graph"} if module == "formats" else set())
        case "diffusion":
            return {"errors", "diffusion"}
        case "room":
            return foundation | {module} | ({"diffusion"} if module == "multiview" else set())
        case "settings":
            return {"errors", "graph"}
        case "corridor":
            return foundation | {"graph"} | set(ROOMS)
        case _:
            return (
                foundation
                | {"graph", "settings", "pipeline", "export", "report", "diffusion"}
                | {
                    "evaluation",
                    *DOORS,
                }
            )


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, name under img2mesh) of every import of ours, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "img2mesh":
                found += [(node.lineno, f"img2mesh.{a.name}") for a in node.names]
            else:
                found.append((node.lineno, node.module))
    return [(line, n.split(".")[1]) for line, n in found if n.startswith("img2mesh.")]


def top_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_house_rules(path: Path) -> None:
    module = top_of(path)
    kind = kind_of(module)
    assert kind != "unknown", f"{module} has no place in the house: add it to this table"
    for line, target in imports_of(path):
        assert target in allowed(kind, module), (
            f"{path.relative_to(PACKAGE.parent)}:{line} imports img2mesh.{target}: "
            f"{SENTENCES[kind]}"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= CEILING, f"{path.name} has {lines} lines; split it by idea"


def test_the_engine_stays_small() -> None:
    lines = sum(
        len(p.read_text(encoding="utf-8").splitlines()) for p in (PACKAGE / "graph").glob("*.py")
    )
    assert lines < GRAPH_CEILING, f"graph/ has {lines} lines: something came in that should go out"


def test_there_is_no_drawer() -> None:
    drawers = [p for p in SOURCES if p.stem in ("utils", "util", "common", "helpers", "misc")]
    assert not drawers, f"name these after their idea: {drawers}"


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


HEAVY = ("torch", "diffusers", "transformers", "open3d", "cv2", "scipy", "trimesh", "nerfacc")


@pytest.mark.parametrize(
    "code",
    [
        "import img2mesh",
        "import img2mesh.pipeline",
        "import img2mesh.cli",
        "import img2mesh.jobs.job",
    ],
)
def test_heavy_libraries_load_only_when_work_starts(code: str) -> None:
    assert loaded_after(code, *HEAVY) == []


@pytest.mark.parametrize("command", [["run"], ["batch"], ["eval", "mesh"], ["serve"]], ids=" ".join)
def test_help_needs_not_even_numpy(command: list[str]) -> None:
    code = (
        "import contextlib, io, img2mesh.cli as c\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    c.main([*{command!r}, '--help'])"
    )
    assert loaded_after(code, "numpy", "PIL", *HEAVY) == []


BANNED = ("trust_remote_code", "custom_pipeline", "import pickle", "allow_pickle=True")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_unsafe_is_written(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [word for word in BANNED if word in text]
    assert not found, f"{path.name} must not contain {found}"
    for line in text.splitlines():
        if "torch.load(" in line:
            assert "weights_only=True" in line, f"{path.name}: {line.strip()}"
