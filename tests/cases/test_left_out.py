"""What is left out is told, and bad results from good: cases 20, 21, 22, 49 and others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from img2mesh.artifacts import Cutout, Photo
from img2mesh.imaging.metrics import iou
from img2mesh.report.page import html_page
from img2mesh.report.verdict import verdict
from img2mesh.segmentation import WARN_BELOW, checkerboard, cut_out, drawings, left_out, plates
from img2mesh.segmentation.matte import clean, main_object

DATA = Path(__file__).parent / "data"


def cut(photo: Path | Image.Image) -> Cutout:
    opened = Photo.open(photo) if isinstance(photo, Path) else Photo.from_image(photo)
    return cut_out(
        opened, segmenter="border", model=None, box=None, remove_background=True,
        foreground_ratio=0.85, max_size=256,
    )  # fmt: skip


def drawn(
    size: int, ground: int | tuple[int, ...], mode: str = "RGB"
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new(mode, (size, size), ground if isinstance(ground, tuple) else (ground,) * 3)
    return picture, ImageDraw.Draw(picture)


def test_a_bottle_with_a_white_middle_is_one_object() -> None:
    levels = np.asarray(Image.open(DATA / "20-white-middle" / "bottle.png"), np.float64)
    cap_and_foot = levels.min(-1) < 150
    whole = left_out.joining(left_out.faint_parts(levels, cap_and_foot), cap_and_foot)
    assert iou(whole, (levels != 250).any(-1)) > 0.9
    assert len(np.flatnonzero(whole.any(1))) == np.ptp(np.flatnonzero(whole.any(1))) + 1


def test_the_pale_half_of_a_white_cup_is_missed() -> None:
    found = cut(DATA / "49-white-cup" / "cup.jpg")
    assert found.confidence < WARN_BELOW
    assert any("hardly differs from the background" in note for note in found.notes)


def test_the_whole_cutout_keeps_the_bottle() -> None:
    found = cut(DATA / "20-white-middle" / "bottle.png")
    rows = np.flatnonzero((found.alpha > 0.5).any(axis=1))
    assert len(rows) > 0.8 * len(found.alpha), "from end to end of its square"
    assert len(rows) == np.ptp(rows) + 1, "in one piece"


def test_a_white_shirt_with_a_print_is_not_its_print() -> None:
    picture, pen = drawn(128, (245, 245, 245))
    shirt = [(30, 20), (100, 20), (115, 45), (100, 55), (100, 110), (30, 110), (30, 55), (15, 45)]
    pen.polygon(shirt, fill=(250, 250, 252))
    pen.rectangle((55, 50, 75, 70), fill=(200, 30, 30))
    levels = np.asarray(picture, np.float64)
    parts = left_out.faint_parts(levels, levels[..., 1] < 100)
    whole = left_out.joining(parts, levels[..., 1] < 100)
    assert iou(whole, levels[..., 1] != 245) > 0.98


def test_a_soft_shadow_is_no_faint_part() -> None:
    y, x = np.mgrid[:128, :128]
    shadow = 12 * np.exp(-(((x - 64) / 34.0) ** 2 + ((y - 95) / 12.0) ** 2))
    levels = np.repeat((250 - shadow)[..., None], 3, 2).round()
    mask = np.hypot(x - 64, y - 60) < 25
    levels[mask] = (40, 80, 160)
    assert not left_out.faint_parts(levels, mask)


def test_legs_that_were_left_out_are_told() -> None:
    lab = np.full((128, 128, 3), (45.0, 8, 14), np.float32)
    lab[20:60, 20:110] = (70, 30, 60)
    seat = lab[..., 0] == 70
    assert left_out.attached(lab, seat) == 0
    for column in (24, 100):
        lab[60:115, column : column + 5] = (95, 0, 0)
    assert left_out.attached(lab, seat) > 0.1
    judged = left_out.judge(lab.astype(np.float64), lab, seat)
    assert judged.sureness < 0.5 and any("thin" in note for note in judged.notes)


def test_dropped_parts_are_told() -> None:
    mask = np.zeros((100, 100), bool)
    mask[30:70, 20:60] = mask[80:95, 80:95] = True
    kept, notes, share = main_object(mask)
    assert not kept[85, 85] and "14% of its size" in notes[0] and share == pytest.approx(225 / 1600)
    matte = np.zeros((100, 100), np.float32)
    matte[20:80, 20:80] = 1
    matte[90:95, 90:95] = 1
    assert clean(matte)[1] == ("specks beside the object (0.7% of its size) were left out",)


def chequered(size: int, side: int, light: int, dark: int) -> Image.Image:
    y, x = np.mgrid[:size, :size] // side
    return Image.fromarray(np.where((x + y) % 2, dark, light).astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("kind", ["white on it", "grey, resized, JPEG", "striped"])
def test_a_painted_checkerboard_is_transparency(kind: str, tmp_path: Path) -> None:
    picture = (
        chequered(160, 8, 255, 204)
        if kind != "grey, resized, JPEG"
        else chequered(160, 10, 240, 200)
    )
    fill = {"white on it": (255, 255, 255), "striped": (210, 60, 40)}.get(kind, (200, 200, 200))
    ImageDraw.Draw(picture).ellipse((40, 30, 120, 130), fill=fill)
    truth = Image.new("L", (160, 160))
    ImageDraw.Draw(truth).ellipse((40, 30, 120, 130), fill=255)
    if kind == "grey, resized, JPEG":
        picture, truth = picture.resize((189, 189)), truth.resize((189, 189))
        picture.save(tmp_path / "x.jpg", quality=85)
        picture = Image.open(tmp_path / "x.jpg")
    found = checkerboard.segment(np.asarray(picture))
    assert found is not None and checkerboard.NOTE in found.notes
    assert iou(found.matte > 0.5, np.asarray(truth) > 127) > 0.85


@pytest.mark.parametrize("kind", ["plain", "stripes", "noise", "bricks"])
def test_no_other_ground_is_a_checkerboard(kind: str) -> None:
    y, x = np.mgrid[:96, :96]
    noise = np.random.default_rng(0).integers(0, 2, (96, 96))
    pattern = {"plain": 0 * x, "stripes": x // 8 % 2, "noise": noise,
               "bricks": ((x + 8 * (y // 8 % 2)) % 16 < 2) | (y % 8 < 2)}[kind]  # fmt: skip
    rgb = np.repeat(np.where(pattern, 204, 255).astype(np.uint8)[..., None], 3, 2)
    rgb[30:60, 30:60] = (200, 30, 30)
    assert checkerboard.segment(rgb) is None


def test_a_colouring_page_is_filled_and_told() -> None:
    rgb = np.asarray(Image.open(DATA / "21-colouring-page" / "bear.png").convert("RGB"))
    lines = rgb.max(-1) < 128
    figure, note = drawings.recognised(rgb, lines)
    assert note is not None and "line drawing" in note
    assert figure is not None and figure.sum() > 5 * lines.sum() and not figure[5, 5]


@pytest.mark.parametrize("kind", ["word", "letter", "logo", "photo"])
def test_lettering_is_told(kind: str) -> None:
    picture, pen = drawn(200, 255)
    if kind == "word":
        pen.text((20, 70), "HALLO", fill=(0, 0, 0), font=ImageFont.load_default(50))
    elif kind == "letter":
        pen.line([(60, 40), (60, 160), (140, 160)], fill=(20, 20, 90), width=5)
    elif kind == "logo":
        for k in range(4):
            pen.ellipse((15 + 45 * k, 80, 50 + 45 * k, 120), fill=(200, 20, 20))
    else:
        pen.ellipse((40, 40, 160, 160), fill=(200, 120, 20))
        pen.rectangle((80, 80, 120, 140), fill=(20, 90, 200))
    rgb = np.asarray(picture)
    figure, note = drawings.recognised(rgb, rgb.min(-1) < 128)
    assert figure is None
    assert (note is None) == (kind == "photo"), note


def test_the_toy_on_an_app_icon_is_the_object() -> None:
    path = DATA / "22-app-icon" / "icon.png"
    found = cut(path)
    assert found.method == "plate" and any("plain plate" in note for note in found.notes)
    pixels = np.asarray(Image.open(path)).astype(int)
    toy = (pixels[..., 3] > 127) & (np.abs(pixels[..., :3] - pixels[96, 20, :3]).max(-1) > 12)
    assert (found.alpha > 0.5).mean() < 0.6 and toy.mean() < 0.3


@pytest.mark.parametrize("kind", ["gradient", "photo", "wrong way round"])
def test_transparency_that_frees_the_whole_picture(kind: str) -> None:
    y, x = np.mgrid[:120, :120]
    pixels = np.dstack([80 + y, 200 - x // 2, np.full_like(x, 220), np.full_like(x, 255)])
    toy = np.hypot(x - 60, y - 65) < 30
    pixels[toy, :3] = (200, 40, 40)
    if kind == "photo":
        noise = np.random.default_rng(2).integers(0, 120, (120, 120))
        pixels[..., :3] += noise[..., None] // 2
        pixels[:6, :, 3] = pixels[-6:, :, 3] = 0
    elif kind == "gradient":
        pixels[
            np.hypot(np.maximum(abs(x - 59.5) - 40, 0), np.maximum(abs(y - 59.5) - 40, 0)) > 19, 3
        ] = 0
    else:
        pixels[toy, 3] = 0
    found = cut(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    assert found.confidence < 0.8 and any(
        "the picture's transparency frees" in n for n in found.notes
    )
    share = float((found.alpha > 0.5).mean())
    assert (share < 0.62) == (kind != "photo"), "a disc fills pi/4 of its square of .85"


@pytest.mark.parametrize("kind", ["round", "window", "crate", "vase"])
def test_what_frees_a_plate(kind: str) -> None:
    picture, pen = drawn(120, (0, 0, 0, 0), "RGBA")
    if kind == "round":
        pen.ellipse((1, 1, 118, 118), fill=(40, 90, 200, 255))
        pen.rectangle((45, 35, 75, 90), fill=(240, 200, 60, 255))
    elif kind == "window":
        pen.rounded_rectangle((0, 0, 119, 119), 14, fill=(250, 250, 250, 255))
        pen.rounded_rectangle((0, 0, 119, 24), 14, fill=(60, 60, 60, 255))
        pen.rectangle((0, 14, 119, 24), fill=(60, 60, 60, 255))
        pen.ellipse((40, 45, 80, 95), fill=(200, 40, 40, 255))
    else:
        noise = np.random.default_rng(1).integers(60, 200, (120, 120, 4)).astype(np.uint8)
        shape = Image.new("L", (120, 120))
        box = (2, 2, 117, 117) if kind == "crate" else (30, 0, 90, 119)
        ImageDraw.Draw(shape).rectangle(box, fill=255)
        picture = Image.fromarray(noise)
        picture.putalpha(shape)
    pixels = np.asarray(picture)
    found = plates.plate(pixels[..., :3], pixels[..., 3])
    assert (found is None) == (kind == "vase")
    assert found is None or (found.content is None) == (kind == "crate")
    if found is not None and found.content is not None:
        wanted = {"round": (240, 200, 60), "window": (200, 40, 40)}[kind]
        assert iou(found.content, (pixels[..., :3] == wanted).all(-1)) > 0.9


GOOD = {
    "segmentation": {"method": "border", "confidence": 0.95},
    "silhouette_iou": {"views": [0.99, 0.98], "input": 0.99},
    "psnr_views": {"views": [27.0, 28.0], "input": 29.0},
    "seen_surface_fraction": {"photo": 0.4, "views": 0.5},
    "watertight": True,
}


@pytest.mark.parametrize(
    ("change", "light", "words"),
    [
        ({}, "green", ""),
        ({"silhouette_iou": {"views": [0.99], "input": 0.9}}, "amber", "agrees with the photo's"),
        ({"silhouette_iou": {"views": [0.99, 0.5], "input": None}}, "red", "one view's"),
        ({"psnr_views": {"views": [27.0], "input": 12.0}}, "red", "only to 12 dB"),
        ({"seen_surface_fraction": {"photo": 0.3, "views": 0.2}}, "amber", "50% of the surface"),
        ({"segmentation": {"method": "border", "confidence": 0.5}}, "amber", "confidence 0.50"),
        ({"watertight": False}, "amber", "watertight"),
    ],
)
def test_the_traffic_light(change: dict[str, object], light: str, words: str) -> None:
    found = verdict({**GOOD, **change})
    assert found["light"] == light and words in "; ".join(found["reasons"])
    page = html_page(glb=b"", report={"verdict": found}, title="x", pictures={})
    assert f'class="verdict {light}"' in page and words.replace("'", "&#x27;") in page


def test_nothing_measured_has_a_light_but_no_reasons() -> None:
    assert verdict({}) == {"light": "green", "reasons": []}
