"""One picture in, a body out: flat card, `geometric` and `learned` on meshes nobody trained on.

    python benchmarks/single_view.py --meshes DIR --objects DIR --out DIR [--limit N]

Every mesh of the folder's `val` split is photographed once (elevation 0 to 30 degrees, any side,
field of view 30, soft light), each method makes a body of the cutout, and both are normalised by
their own bounding sphere. No alignment. Figures: F-score at 5 and 10 % of the radius and Chamfer
distance (points on both surfaces to the other surface), silhouette IoU and PSNR over six views at
the poses of `zero123plus-v1.1` over grey. `network` is the network's body for every object,
`learned` takes lathe or box where the generator of that name does. `results.json` holds all of it,
per class and with bootstrap intervals; `sheet_*.png` show input, truth and result. `rows.jsonl`
holds what has been measured: a second run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from img2mesh.artifacts import Cutout
from img2mesh.core.cameras import Camera
from img2mesh.evaluation import tables
from img2mesh.evaluation.examples import PHOTO, PHOTO_FOV_DEG, pose_of
from img2mesh.geometry.raycast import Scene
from img2mesh.multiview import learned
from img2mesh.multiview.geometric.body import Body
from img2mesh.multiview.geometric.choose import make_body
from img2mesh.multiview.geometric.draw import Canvas
from img2mesh.multiview.geometric.outline import DISTANCE, frame_camera, look_up, trace
from img2mesh.multiview.geometric.solid import polygonise
from img2mesh.training.catalog import Entry, read_catalog
from img2mesh.training.photograph import photograph, soft_light
from img2mesh.training.prepare import read_surface
from img2mesh.training.renders import turned
from img2mesh.training.views import Subject, cropped_camera

POSES = ((30, 30), (90, -20), (150, 30), (210, -20), (270, 30), (330, -20))
SHEET_POSES = ((50, 10), (90, 10), (180, 10), (0, 80))
MADE = ("flat", "geometric", "network")
METHODS = (*MADE, "learned")
SURE = ("lathe", "box")
FIGURES = ("f5", "f10", "chamfer", "iou", "psnr")
POINTS = 10_000
GREY = 0.5


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--meshes", type=Path, required=True)
    parser.add_argument("--objects", type=Path, help="folder of NAME/mesh.glb, seen from the front")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=10_000, help="meshes of the split at most")
    parser.add_argument("--methods", nargs="*", default=MADE, choices=MADE)
    parser.add_argument("--size", type=int, default=96, help="side of the six views in pixels")
    parser.add_argument("--sheets", type=int, default=40, help="objects on the contact sheets")
    parser.add_argument("--part", default="0/1", help="K/N: only every N-th object from the K-th")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    val = [e for e in read_catalog(options.meshes) if e.split == "val"]
    order = np.random.default_rng(1).permutation(len(val))[: options.limit]
    tasks = [("val", val[k]) for k in order]
    if options.objects is not None:
        tasks += [
            ("objects", Entry(f, f"{f.parent.name}/mesh.glb", kind=f.parent.name))
            for f in sorted(options.objects.glob("*/mesh.glb"))
        ]
    part, parts = map(int, options.part.split("/"))
    tasks = tasks[part::parts]
    kept = options.out / "rows.jsonl"
    lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(row["set"], row["path"], row["method"]): row for row in lines}
    for number, (group, entry) in enumerate(tasks):
        missing = [m for m in options.methods if (group, entry.path, m) not in done]
        if not missing:
            continue
        for row in judge(Photographed(entry, group), missing, options.size):
            row = {"set": group, "path": entry.path, "kind": entry.kind, **row}
            done[group, entry.path, row["method"]] = row
            with kept.open("a") as log:
                log.write(json.dumps(row) + "\n")
            print(number, entry.path, row["method"], row["body"], round(row["iou"], 3), flush=True)
    results = {}
    for group in ("val", "objects"):
        rows = [
            {"kind": entry.kind, **{m: done[group, entry.path, m] for m in MADE}}
            for name, entry in tasks
            if name == group and all((group, entry.path, m) in done for m in MADE)
        ]
        for row in rows:
            row["learned"] = row["geometric" if row["network"]["chosen"] in SURE else "network"]
        results[group] = summary(rows)
        print(table(results[group]))
    (options.out / "results.json").write_text(json.dumps(results, indent=1))
    strips = []
    for group, entry in tasks[: options.sheets]:
        strips.append(strip(Photographed(entry, group)))
    for start in range(0, len(strips), 20):
        sheet = Image.fromarray(np.concatenate(strips[start : start + 20]))
        sheet.save(options.out / f"sheet_{start // 20}.png")


class Photographed:
    """A mesh, turned so that it is photographed from azimuth 0, and its cutout."""

    def __init__(self, entry: Entry, group: str) -> None:
        azimuth, self.elevation = (0.0, 10.0) if group == "objects" else pose_of(entry)
        self.subject = turned(read_surface(entry), azimuth)
        used = self.subject.surface.vertices[np.unique(self.subject.surface.faces)]
        camera = cropped_camera(used, 0.0, self.elevation, PHOTO_FOV_DEG, PHOTO)
        self.cutout = Cutout(*shot(self.subject, camera))


def judge(photo: Photographed, methods: list[str], size: int) -> list[dict[str, Any]]:
    """All figures of one object for some methods."""
    truth = [shot(photo.subject, pose(a, e, size)) for a, e in POSES]
    makers: dict[str, Callable[[], Body]] = {
        "flat": lambda: card(photo.cutout),
        "geometric": lambda: make_body(photo.cutout, body="auto", parts="keep"),
        "network": lambda: learned.make_body(photo.cutout, body="learned", parts="keep"),
    }
    rows = []
    for method in methods:
        start = time.perf_counter()
        body = makers[method]()
        seconds = time.perf_counter() - start
        chosen = {}
        if method == "network":
            chosen["chosen"] = learned.make_body(photo.cutout, body="auto", parts="keep").kind
        canvas = Canvas(body)
        drawn = [canvas.draw(pose(a, e, size))[:2] for a, e in POSES]
        rows.append(
            {
                "method": method,
                "body": body.kind,
                **chosen,
                **shape(canvas.vertices, body.solid.faces, photo.subject),
                **looks(drawn, truth),
                "elevation": photo.elevation,
                "guessed_elevation": float(np.rad2deg(np.arcsin(-body.camera.forward[1]))),
                "seconds": seconds,
            }
        )
    return rows


def strip(photo: Photographed) -> NDArray[np.uint8]:
    """One row of a contact sheet: input, then truth and result side by side."""
    canvas = Canvas(learned.make_body(photo.cutout, body="auto", parts="keep"))
    tiles = [over(photo.cutout.rgb[::3, ::3], photo.cutout.alpha[::3, ::3])]
    for a, e in SHEET_POSES:
        tiles.append(over(*shot(photo.subject, pose(a, e, 128))))
        tiles.append(over(*canvas.draw(pose(a, e, 128))[:2]))
    return (np.concatenate(tiles, 1) * 255).astype(np.uint8)


def pose(azimuth: float, elevation: float, size: int) -> Camera:
    """A camera of the protocol: the unit sphere fills 93 % of the picture's height."""
    return Camera.orbit(azimuth, elevation, distance=4.14, fov_deg=30, width=size, height=size)


def shot(subject: Subject, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Colours and coverage in soft light."""
    seen = photograph(subject, camera, soft_light)
    return seen.rgb, seen.alpha


def over(rgb: NDArray[np.floating], alpha: NDArray[np.floating]) -> NDArray[np.floating]:
    """Over grey."""
    return rgb * alpha[..., None] + GREY * (1 - alpha[..., None])


def card(cutout: Cutout) -> Body:
    """The outline as a thin slab: what a mesh costs nothing to be."""
    outline = trace(cutout, parts="join")
    camera = frame_camera(0.0, cutout.size)

    def slab(points: NDArray[np.floating]) -> NDArray[np.floating]:
        scale = DISTANCE / (DISTANCE - points[..., 2])
        inside = -look_up(outline.distance, points[..., 0] * scale, points[..., 1] * scale)
        return np.minimum(inside, 0.03 - np.abs(points[..., 2]))

    def paint(points: NDArray[np.floating], normals: NDArray[np.floating]) -> NDArray[np.float32]:
        uv, _ = camera.project(points)
        column, line = np.clip(uv.astype(int), 0, cutout.size - 1).T
        return cutout.rgb[line, column]

    solid = polygonise(slab, (-1, -1, -0.04), (1, 1, 0.04), cells=128)
    return Body("flat", solid, paint, camera)


def shape(
    vertices: NDArray[np.floating], faces: NDArray[np.int32], subject: Subject
) -> dict[str, float]:
    """F-scores and Chamfer distance of unit-sphere surfaces."""
    theirs = subject.surface
    rng = np.random.default_rng(0)
    ours = Scene(vertices, faces)
    a = points_on(np.asarray(vertices, np.float64), faces, rng)
    b = points_on(theirs.vertices, theirs.faces, rng)
    there = np.linalg.norm(subject.scene.closest(a)[0] - a, axis=1)
    back = np.linalg.norm(ours.closest(b)[0] - b, axis=1)
    out = {"chamfer": float(there.mean() + back.mean()) / 2}
    for percent in (5, 10):
        p, r = (there < percent / 100).mean(), (back < percent / 100).mean()
        out[f"f{percent}"] = float(2 * p * r / max(p + r, 1e-9))
    return out


def points_on(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(POINTS, 3) even in area."""
    corner = vertices[faces]
    area = np.linalg.norm(
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1
    )
    chosen = corner[rng.choice(len(faces), POINTS, p=area / area.sum())]
    a, b = rng.random((2, POINTS, 1))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    points: NDArray[np.float64] = chosen[:, 0] * (1 - a - b) + chosen[:, 1] * a + chosen[:, 2] * b
    return points


def looks(drawn: list[Any], truth: list[Any]) -> dict[str, float]:
    """Mean silhouette IoU, and PSNR of all six views over grey."""
    overlap, error = [], []
    for (rgb, alpha), (rgb2, alpha2) in zip(drawn, truth, strict=True):
        m, t = alpha > 0.5, alpha2 > 0.5
        overlap.append((m & t).sum() / max((m | t).sum(), 1))
        error.append(((over(rgb, alpha) - over(rgb2, alpha2)) ** 2).mean())
    return {"iou": float(np.mean(overlap)), "psnr": float(np.mean(-10 * np.log10(error)))}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals, overall and per class, and learned against geometric."""
    if not rows:
        return {}

    def interval(values: NDArray[np.float64]) -> list[float]:
        return [round(v, 4) for v in tables.interval(values)]

    def column(method: str, figure: str) -> NDArray[np.float64]:
        return np.array([row[method][figure] for row in rows])

    gain = {f: interval(column("learned", f) - column("geometric", f)) for f in FIGURES}
    better = column("learned", "iou") - column("geometric", "iou")
    return {
        "objects": len(rows),
        "overall": {m: {f: interval(column(m, f)) for f in FIGURES} for m in METHODS},
        "learned_over_geometric": {
            **gain,
            "chamfer_ratio": float(
                column("learned", "chamfer").mean() / column("geometric", "chamfer").mean()
            ),
            "iou_at_least_equal": float((better >= -1e-9).mean()),
            "iou_worse_by_005": float((better < -0.05).mean()),
        },
        "seconds_median": {m: float(np.median(column(m, "seconds"))) for m in METHODS},
        "classes": {
            kind: {
                "objects": sum(row["kind"] == kind for row in rows),
                **{
                    m: {
                        f: float(np.mean([r[m][f] for r in rows if r["kind"] == kind]))
                        for f in FIGURES
                    }
                    for m in METHODS
                },
            }
            for kind in sorted({row["kind"] for row in rows})
        },
    }


def table(result: dict[str, Any]) -> str:
    """The overall figures as a Markdown table."""
    if not result:
        return ""
    lines = [
        f"| {result['objects']} objects | F@5 % | F@10 % | Chamfer | IoU | PSNR |",
        "|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        cells = [result["overall"][method][f] for f in FIGURES]
        digits = (3, 3, 3, 3, 1)
        text = (
            f"{m:.{d}f} [{low:.{d}f}, {high:.{d}f}]"
            for (m, low, high), d in zip(cells, digits, strict=True)
        )
        lines.append(f"| {method} | " + " | ".join(text) + " |")
    return "\n".join(lines) + "\n" + json.dumps(result["learned_over_geometric"])


if __name__ == "__main__":
    main()
