"""Changed code under an unchanged stage version serves stale results: this test notices.

For each stage it keeps (version, digest of the code behind it). What is behind a stage is derived,
not listed: from the stage's function every name is followed to the definition it means, through
every import, and on from there; what the cache does with the result (its codec) belongs to it.
Where a definition lies is no part of the digest, so that moving code is no change.

When it fails, either bump the stage's version in ``pipeline.py`` (results changed) or accept the
change as preserving every byte; both ways, write the new record with
``python tests/test_stage_versions.py --accept``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "img2mesh"
RECORD = HERE / "stage_versions.json"
STAGES = [
    "cutout",
    "views",
    "depths",
    "refined",
    "registered",
    "radiance",
    "surface",
    "asset",
    "game",
    "quality",
]
#: The stage of the second page that is not one of the first: its distilled ``refined``.
DISTILLED = "distilled refined"
#: The stage before the first of the first page.
DRAWN = "drawn photo"
PAGES = {
    DISTILLED: ("img2mesh.pages.distilled", "refined"),
    DRAWN: ("img2mesh.pages.drawn", "photo"),
}
#: Views that the user gives enter below the stages; a number in their digest is their version.
GIVEN = "given views"
CODECS = "img2mesh.artifacts.codecs"
OPENER = ("img2mesh.io.photos", "read_photo")
READER = ("img2mesh.io.views", "read_views")

Definition = tuple[str, str]  # (module, name); the name "" stands for the whole module


@cache
def source(module: str) -> ast.Module | None:
    """The parsed module, or None if there is no such module of ours."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


@cache
def definitions(module: str) -> dict[str, ast.stmt]:
    """What the module's top level defines, by name."""
    found: dict[str, ast.stmt] = {}
    for node in getattr(source(module), "body", []):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = node
            case ast.Assign(targets=targets):
                names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
                found |= dict.fromkeys(names, node)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
    return found


def imported(nodes: list[ast.stmt]) -> dict[str, Definition]:
    """Local name -> what it means, for every import of ours among the nodes and inside them."""
    found: dict[str, Definition] = {}
    for node in (inner for statement in nodes for inner in ast.walk(statement)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "img2mesh":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                meant = (whole, "") if source(whole) else (str(node.module), alias.name)
                found[alias.asname or alias.name] = meant
    return found


@cache
def top_imports(module: str) -> dict[str, Definition]:
    tree = source(module)
    return imported([n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.ClassDef)])


@cache
def uses(module: str, name: str) -> frozenset[Definition]:
    """The definitions that a definition mentions."""
    node, known = definitions(module)[name], top_imports(module)
    if not module.startswith("img2mesh.artifacts"):
        known = known | imported([node])
    # else: imports inside an artifact's methods serve users (open, save), never a stage.
    parameters = {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
    found = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute(value=ast.Name(id=used), attr=attribute) if used in known:
                base, rest = known[used]
                found.add((base, rest or attribute))
            case ast.Name(id=used) if used in known:
                found.add(known[used])
            case ast.Name(id=used) if used in definitions(module) and used not in parameters:
                found.add((module, used))
    return frozenset(found)


def resolved(target: Definition) -> list[Definition]:
    """The place that really defines a name: through re-exports; the whole module if unknown."""
    module, name = target
    if name in definitions(module):
        return [target]
    if name in top_imports(module):
        return resolved(top_imports(module)[name])
    if name == "" or source(f"{module}.{name}"):
        return []  # a module as a value: what is used of it is met as an attribute
    whole = [(module, n) for n in definitions(module)]
    return whole + [d for t in top_imports(module).values() for d in resolved(t)]


def behind(stage: str) -> set[Definition]:
    """Every definition of ours that the stage's function, identity and codec can reach."""
    if stage == GIVEN:
        return reachable({READER})
    (pipeline, name), codecs = PAGES.get(stage, ("img2mesh.pipeline", stage)), CODECS
    function = definitions(pipeline)[name]
    result = ast.unparse(function.returns)
    table = definitions(codecs)["CODECS"].value
    codec = next(
        v for k, v in zip(table.keys, table.values, strict=True) if ast.unparse(k) == result
    )
    names = {n.id for n in ast.walk(codec) if isinstance(n, ast.Name)}
    start = {(pipeline, name)} | {(codecs, n) for n in names if n in definitions(codecs)}
    start |= {top_imports(codecs)[n] for n in names if n in top_imports(codecs)}
    # The photo is the graph's source: its key is the file's bytes, so how they are decoded belongs
    # to the stage that takes it.
    return reachable(start | ({OPENER} if stage == "cutout" else set()))


def reachable(start: set[Definition]) -> set[Definition]:
    reached: set[Definition] = set()
    waiting = set(start)
    while waiting:
        for place in resolved(waiting.pop()):
            if place in reached or place[0].startswith(("img2mesh.graph", "img2mesh.errors")):
                continue
            reached.add(place)
            waiting |= uses(*place)
    return reached


class Bare(ast.NodeTransformer):
    """Code without what cannot change a result: docstrings and where names are imported from."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if (node.module or "").startswith("img2mesh") else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            first = body[0].value if body and isinstance(body[0], ast.Expr) else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                del body[0]
            body[:] = body or [ast.Pass()]
        return node


@cache
def bare(module: str, name: str) -> str:
    copy = ast.parse(ast.unparse(definitions(module)[name]))  # the parsed modules are shared
    return ast.dump(Bare().visit(copy))


def digest(places: set[Definition]) -> str:
    """Digest of the code, in an order that does not depend on where it lies."""
    dumps = {bare(*place) for place in places}
    return hashlib.sha256("\n".join(sorted(dumps)).encode()).hexdigest()[:16]


def version_of(stage: str) -> int:
    if stage == GIVEN:
        return ast.literal_eval(definitions(READER[0])["_READING"].value)
    page, name = PAGES.get(stage, ("img2mesh.pipeline", stage))
    decorator = next(
        d
        for d in definitions(page)[name].decorator_list
        if isinstance(d, ast.Call) and ast.unparse(d.func) == "stage"
    )
    return next(ast.literal_eval(k.value) for k in decorator.keywords if k.arg == "version")


def current(stage: str) -> dict[str, object]:
    return {"version": version_of(stage), "code": digest(behind(stage))}


@pytest.mark.parametrize("stage", [*STAGES, DISTILLED, DRAWN, GIVEN])
def test_changed_code_has_a_changed_version(stage: str) -> None:
    then, now = json.loads(RECORD.read_text(encoding="utf-8"))[stage], current(stage)
    if then == now:
        return
    if then["version"] == now["version"]:
        pytest.fail(
            f"the code behind {stage!r} changed, its version is still {now['version']}: bump it in "
            "pipeline.py if results change, then run python tests/test_stage_versions.py --accept"
        )
    pytest.fail(f"{stage!r} has a new version: run python tests/test_stage_versions.py --accept")


def test_every_stage_is_watched() -> None:
    from img2mesh.pipeline import PIPELINE

    assert set(PIPELINE.stages) == set(STAGES)
    from img2mesh.pages import distilled, drawn

    for graph, name in ((distilled.DISTILLATION, DISTILLED), (drawn.DRAWN, DRAWN)):
        own = [s for n, s in graph.stages.items() if s is not PIPELINE.stages.get(n)]
        assert [s.where for s in own] == [".".join(PAGES[name])]


@pytest.mark.parametrize(
    ("stage", "module", "name"),
    [
        ("views", "img2mesh.diffusion.schedules", ""),
        ("views", "img2mesh.diffusion.reference_attention", ""),
        ("refined", "img2mesh.diffusion.samplers", ""),
        ("cutout", "img2mesh.io.pixel_modes", ""),
        (GIVEN, "img2mesh.imaging.matting", "matte"),
        ("radiance", "img2mesh.core.runtime", "threads"),
        ("asset", "img2mesh.io.gltf", "glb_bytes"),
    ],
)
def test_what_a_hand_written_list_missed_is_behind_the_stage(
    stage: str, module: str, name: str
) -> None:
    reached = behind(stage)
    assert any(m == module and name in ("", n) for m, n in reached), sorted(reached)


if __name__ == "__main__" and "--accept" in sys.argv:
    record = {stage: current(stage) for stage in [*STAGES, DISTILLED, DRAWN, GIVEN]}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
