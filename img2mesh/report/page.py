"""``report.html``: one file that opens from disk, turns the mesh and asks the network for nothing.

Google's <model-viewer> is inlined as a module script and the GLB as a data URL, because browsers
refuse to load either as separate files from ``file://``. A content security policy in the page
forbids every request beyond ``data:`` and ``blob:``, so the decoders that the viewer knows by
address can never be fetched.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from img2mesh.errors import Img2MeshError
from img2mesh.io.files import replacing
from img2mesh.io.glb_container import version
from img2mesh.report import words

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src data: blob:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
_MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}

#: Shown as quality rows; everything else in the report stays readable under "everything".
_SHOWN = {
    "faces": "Faces",
    "vertices": "Vertices",
    "watertight": "Closed (watertight)",
    "manifold": "Manifold",
    "components": "Pieces",
    "texture_resolution": "Texture",
    "uv_overlap": "Overlapping texture",
}


#: A viewer that wakes up without WebGL only complains: it goes, and a picture takes its place.
_BLIND = (
    'if (!document.createElement("canvas").getContext("webgl2")) '
    'document.querySelector("model-viewer").remove();'
)

#: Begins the viewer with the pictures that the page holds anyway.
_BEGIN = """
const host = document.getElementById("turn");
const picture = (name) => document.querySelector(`img[data-picture="${name}"]`)?.src ?? null;
turnable(host, {
  name: document.title, camera: JSON.parse(host.dataset.camera), photo: picture("photo"),
  cutout: picture("cutout"), known: picture("known"),
});
"""


def write_html(
    path: Path,
    *,
    glb: bytes,
    report: dict[str, Any],
    title: str,
    pictures: dict[str, bytes],
    settings: dict[str, Any] | None = None,
    known: bytes | None = None,
) -> None:
    """Write the page.

    Args:
        path: the ``.html`` file; replaced in one step.
        glb: the deliverable.
        report: the content of ``report.json``; every key is optional.
        title: what the object is called; shown as text whatever it contains.
        pictures: PNG, JPEG or WebP files by caption, in the order they appear.
        settings: what the run was made with, from ``run.json``.
        known: the texture with what is a guess striped, a PNG, JPEG or WebP file.

    Raises:
        Img2MeshError: the file cannot be written.
    """
    path = Path(path)
    page = html_page(
        glb=glb, report=report, title=title, pictures=pictures, settings=settings, known=known
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(page.encode("utf-8", "replace"))
    except OSError as cause:
        raise Img2MeshError(f"{path} cannot be written: {cause.strerror or cause}") from cause


def html_page(
    *,
    glb: bytes,
    report: dict[str, Any],
    title: str,
    pictures: dict[str, bytes],
    settings: dict[str, Any] | None = None,
    known: bytes | None = None,
) -> str:
    """The page as text; see :func:`write_html`."""
    assets = files("img2mesh.report") / "assets"
    css, shared, viewer, turning = (
        (assets / name).read_text(encoding="utf-8")
        for name in ("report.css", "viewer.css", "model-viewer.min.js", "viewer.js")
    )
    viewer, turning = inline_script(viewer), inline_script(turning + _BEGIN)
    camera = escape(json.dumps(report.get("input_camera")))
    model = _data_url(glb, "model/gltf-binary")
    shown = "".join(_figure(caption, data) for caption, data in pictures.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · img2mesh</title>
<style>{css}{shared}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_origin(report)}
{_light(report)}
<div class="top">
<div class="card turn" id="turn" data-camera="{camera}">
<model-viewer src="{model}" alt="{escape(title)}" camera-controls touch-action="pan-y"
 shadow-intensity="0.6" shadow-softness="1" interaction-prompt="none"></model-viewer>
</div>
<div class="card pad">{_said(report)}{_quality(report)}</div>
</div>
{_warnings(report)}
<h2>Pictures</h2>
<div class="pictures">{shown}</div>
{_seconds(report)}
<h2>Details</h2>
<div class="card pad">
{_folded("Settings", settings or report.get("settings"))}
{_folded("Everything measured (report.json)", report)}
</div>
</main>
<footer>img2mesh {escape(version())} · 3D viewer: &lt;model-viewer&gt; 4.4.0, Google LLC,
Apache-2.0</footer>
{_hidden(known)}<script>{_BLIND}</script>
<script type="module">{viewer}</script>
<script type="module">{turning}</script>
</body>
</html>
"""


def inline_script(source: str) -> str:
    """JavaScript that may stand inside a script element.

    Inside strings and regular expressions, the only places where these sequences can be valid
    JavaScript, a backslash before ``/``, ``!`` or ``s`` changes nothing (HTML standard, 4.12.1.3).
    """
    source = re.sub(r"//# sourceMappingURL=\S*\s*$", "", source)
    source = re.sub(r"<(?=/script)", r"<\\", source, flags=re.IGNORECASE)
    source = re.sub(r"<(?=script)", r"\\x3c", source, flags=re.IGNORECASE)
    return source.replace("<!--", r"<\!--")


def _data_url(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def _figure(caption: str, data: bytes) -> str:
    mime = next((m for magic, m in _MAGIC.items() if data.startswith(magic)), "image/png")
    # On a phone its captions are read by scrolling along it, with keys too.
    wide = ' wide" tabindex="0' if "preview" in caption.lower() else ""
    name = escape(caption)
    return (
        f'<figure class="card{wide}"><img class="checker" src="{_data_url(data, mime)}" '
        f'alt="{name}" data-picture="{name}"><figcaption>{name}</figcaption></figure>'
    )


def _hidden(known: bytes | None) -> str:
    """The striped texture, for the viewer alone."""
    if known is None:
        return ""
    mime = next((m for magic, m in _MAGIC.items() if known.startswith(magic)), "image/png")
    return f'<img hidden alt="" data-picture="known" src="{_data_url(known, mime)}">\n'


def _origin(report: dict[str, Any]) -> str:
    """The one sentence nobody may miss: who drew the sides that the photo does not show."""
    generator = str(report.get("generator", "unknown"))
    name = escape(generator)
    if generator == "given":
        text = "<b>Views: given by the user.</b> img2mesh drew none of them: no learned weights."
    elif report.get("learned_weights"):
        licences = ", ".join(str(x) for x in report.get("licences") or []) or "not stated"
        text = (
            f"<b>Generator: {name}</b>, a learned model (licence: {escape(licences)}). Sides that "
            "the photo does not show are its guess."
        )
    else:
        text = (
            f"<b>Generator: {name} prior, no learned weights.</b> Sides that the photo does not "
            "show are constructed from the outline and colours of the one it does; they are a "
            "plausible guess, not knowledge of the object."
        )
    return f'<p class="origin">{text}</p>'


def _light(report: dict[str, Any]) -> str:
    """The traffic light, and what keeps it from being green."""
    found = report.get("verdict") or {}
    said = {"green": "Nothing speaks against it", "amber": "Worth a look", "red": "Probably wrong"}
    light = str(found.get("light"))
    if light not in said:
        return ""
    reasons = "; ".join(str(reason) for reason in found.get("reasons") or [])
    agreed = f"outlines and colours agree with the cutout. {words.CAUTION}"
    more = f"{escape(reasons)}." if reasons else agreed
    return f'<p class="verdict {light}"><span></span><b>{said[light]}</b>: {more}</p>'


def _said(report: dict[str, Any]) -> str:
    """The numbers that matter, in the sentences that the page and a batch's index have too."""
    bar = "".join(
        f'<span class="{name}" style="flex-grow:{share:.4f}"></span>'
        for name, share in (words.shares(report) or {}).items()
    )
    told = "".join(f"<p>{escape(one)}</p>" for one in words.sentences(report))
    return (f'<div class="share">{bar}</div>' if bar else "") + told


def _quality(report: dict[str, Any]) -> str:
    rows = [(label, _cell(key, report[key])) for key, label in _SHOWN.items() if key in report]
    iou, psnr = report.get("silhouette_iou") or {}, report.get("psnr_views") or {}
    rows += _parts(report)
    held = _pair("Outline like the cutout's", iou, lambda x: f"{x:.3f}")
    held += _pair("Colours like the cutout's", psnr, lambda x: f"{x:.1f} dB")
    table = f"<table>{_rows(rows)}</table>"
    if not held:
        return table
    # Folded: who does not know what they are held against would take them for praise.
    return (
        f"{table}<details><summary>Measured against the cutout</summary>"
        f'<p class="says">{words.CAUTION}</p><table>{_rows(held)}</table></details>'
    )


def _rows(rows: list[tuple[str, str]]) -> str:
    return "".join(f"<tr><th>{label}</th><td>{value}</td></tr>" for label, value in rows)


def _parts(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What was made for game engines, a row each."""
    rows = []
    maps = report.get("maps") or {}
    if names := [name.replace("_", ", ") for name, made in maps.items() if made]:
        rows.append(("Maps", escape("; ".join(names))))
    for number, lod in enumerate(report.get("lods") or [], start=1):
        error = (
            f"off by {lod['error_mean']:.2f} % of the diagonal, {lod['error_max']:.2f} % at most"
        )
        rows.append((f"LOD {number}", f"{lod['faces']:,} faces, {error}"))
    if hulls := report.get("collision"):
        enclosed = f", {hulls['enclosed']:.1%} of the surface held" if hulls.get("enclosed") else ""
        rows.append(("Collision", f"{hulls['hulls']} convex hulls{enclosed}"))
    return rows


def _cell(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return f'<span class="{"good" if value else "bad"}">{"yes" if value else "no"}</span>'
    if key == "uv_overlap" and isinstance(value, int | float):
        return f"{value:.2%}"
    if key == "texture_resolution":
        return f"{escape(str(value))} px"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _pair(label: str, values: dict[str, Any], show: Any) -> list[tuple[str, str]]:
    rows = []
    if values.get("input") is not None:
        rows.append((f"{label}, photo", show(values["input"])))
    views = [x for x in values.get("views") or [] if x is not None]
    if views:
        rows.append((f"{label}, views (mean)", show(sum(views) / len(views))))
    return rows


def _warnings(report: dict[str, Any]) -> str:
    """What is special about this photo in a box; what stands on every photo below it, folded."""
    notes = [str(note) for note in report.get("warnings") or []]
    usual = _items(note for note in notes if words.is_usual(note))
    special = _items(note for note in notes if not words.is_usual(note))
    box = f'<div class="warnings"><b>Worth knowing</b>{special}</div>' if special else ""
    return box + (f"<details><summary>What is a guess</summary>{usual}</details>" if usual else "")


def _items(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return items and f"<ul>{items}</ul>"


def _seconds(report: dict[str, Any]) -> str:
    seconds = {
        str(stage): float(value)
        for stage, value in (report.get("seconds") or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if not seconds:
        return ""
    cached = report.get("cached") or {}
    longest = max(*seconds.values(), 1e-9)
    rows = "".join(
        f"<tr><th>{escape(stage)}{' (from cache)' if cached.get(stage) else ''}</th><td>"
        f'<span class="bar" style="width:{round(160 * value / longest)}px"></span>'
        f"{value:.1f} s</td></tr>"
        for stage, value in seconds.items()
    )
    return f'<h2>Time</h2><div class="card pad"><table>{rows}</table></div>'


def _folded(label: str, value: Any) -> str:
    if not value:
        return ""
    text = escape(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    return f"<details><summary>{escape(label)}</summary><pre>{text}</pre></details>"
