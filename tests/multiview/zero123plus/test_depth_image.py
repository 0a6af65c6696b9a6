"""Depth pictures against closed forms: a sphere and a tilted plane."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from img2mesh.artifacts import DepthSet
from img2mesh.core.cameras import Camera
from img2mesh.core.rigs import rig
from img2mesh.errors import InputError
from img2mesh.multiview.zero123plus.depth_image import depth_picture, normalised_depth
from img2mesh.multiview.zero123plus.preprocess import control_tensor

SIZE = 64
CAMERAS = rig("zero123plus-v1.1").cameras(SIZE)


def sphere_depth(camera: Camera, radius: float) -> np.ndarray:
    """z-depth of a sphere around the origin, by the quadratic formula."""
    d = camera.directions()  # unit z-depth
    o = camera.origin
    a, b, c = (d * d).sum(-1), (d @ o), o @ o - radius**2
    root = b * b - a * c
    return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.nan)


def plane_depth(camera: Camera, normal: np.ndarray, offset: float) -> np.ndarray:
    """z-depth of the plane normal . x = offset inside a ball of radius 0.8."""
    d = camera.directions()
    with np.errstate(divide="ignore"):
        depth = (offset - normal @ camera.origin) / (d @ normal)
    points = camera.origin + depth[..., None] * d
    return np.where((depth > 0) & ((points**2).sum(-1) < 0.64), depth, np.nan)


def _set(maps: list[np.ndarray]) -> DepthSet:
    return DepthSet(np.stack(maps).astype(np.float32), CAMERAS)


def _tile(picture: Image.Image, k: int) -> np.ndarray:
    row, column = divmod(k, 2)
    box = (column * SIZE, row * SIZE, (column + 1) * SIZE, (row + 1) * SIZE)
    return np.asarray(picture.crop(box)).astype(int)


def test_sphere() -> None:
    radius = 0.7
    picture = depth_picture(_set([sphere_depth(c, radius) for c in CAMERAS]), SIZE)
    distance = rig("zero123plus-v1.1").distance
    # From its tangent cone: the nearest point lies at distance - radius; the silhouette, where the
    # ray only touches, at z-depth (distance^2 - radius^2) / distance.
    near, rim = distance - radius, (distance**2 - radius**2) / distance
    for k in range(6):
        tile = _tile(picture, k)
        seen = tile[..., 3] == 255
        assert (tile[..., 3][~seen] == 0).all()
        assert 0.3 < seen.mean() < 0.7
        expected = (sphere_depth(CAMERAS[k], radius) - near) / (rim - near) * 255
        # Depth falls off steeply at the rim, which lies between pixel centres: an eighth of the
        # range at this resolution.
        assert np.abs(tile[..., 0] - expected)[seen].max() < 32
        own = sphere_depth(CAMERAS[k], radius)[seen]
        exact = np.rint((own - own.min()) / (own.max() - own.min()) * 255)
        assert np.abs(tile[..., 0][seen] - exact).max() <= 1
        centre = tile[SIZE // 2, SIZE // 2, 0]
        assert centre == 0, "near is dark"


def test_tilted_plane_is_linear_in_z_depth_not_disparity() -> None:
    normal = np.array([0.5, 0.2, 1.0]) / np.linalg.norm([0.5, 0.2, 1.0])
    maps = [plane_depth(c, normal, 0.1) for c in CAMERAS]
    picture = depth_picture(_set(maps), SIZE)
    for k, depth in enumerate(maps):
        tile, seen = _tile(picture, k), np.isfinite(depth)
        assert (tile[..., 0] == tile[..., 1]).all() and (tile[..., 1] == tile[..., 2]).all()
        z = depth[seen]
        linear = (z - z.min()) / (z.max() - z.min()) * 255
        disparity = (1 / z - 1 / z.max()) / (1 / z.min() - 1 / z.max()) * 255
        assert np.abs(tile[seen][:, 0] - linear).max() <= 0.51
        assert np.abs(tile[seen][:, 0] - disparity).max() > 20


def test_each_view_spans_the_whole_range_on_its_own() -> None:
    maps = [sphere_depth(c, 0.2 + 0.1 * k) for k, c in enumerate(CAMERAS)]
    own = depth_picture(_set(maps), SIZE)
    together = depth_picture(_set(maps), SIZE, together=True)
    for k in range(6):
        seen = _tile(own, k)[..., 3] > 0
        values = _tile(own, k)[seen][:, 0]
        assert values.min() == 0 and values.max() == 255
    first = _tile(together, 0)
    assert first[first[..., 3] > 0][:, 0].min() > 50


def test_background_is_grey_for_the_network() -> None:
    picture = depth_picture(_set([sphere_depth(c, 0.5) for c in CAMERAS]), SIZE)
    values = control_tensor(picture, 2 * SIZE, 3 * SIZE)[0]
    assert float(values[0, 0, 0]) == pytest.approx(127 / 127.5 - 1, abs=1e-6)
    assert float(values.min()) == -1 and float(values.max()) == 1


def test_flat_depth_is_near_everywhere() -> None:
    depth = np.full((4, 4), np.nan)
    depth[1:3, 1:3] = 2.0
    assert np.nanmax(normalised_depth(depth)) == 0


def test_other_sizes_are_resampled_without_mixing_depths() -> None:
    depth = np.full((6, 8, 8), np.nan, np.float32)
    depth[:, 2:6, 2:4], depth[:, 2:6, 4:6] = 1.0, 3.0
    picture = depth_picture(DepthSet(depth, rig("zero123plus-v1.1").cameras(8)), 32)
    values = np.asarray(picture)
    assert set(np.unique(values[values[..., 3] > 0][:, 0])) == {0, 255}
    assert (values[..., 3] > 0).mean() == pytest.approx(0.25)


@pytest.mark.parametrize("wrong", ["five", "empty"])
def test_unusable_depths_are_refused(wrong: str) -> None:
    maps = np.ones((6, 8, 8), np.float32)
    maps[3] = np.nan if wrong == "empty" else 1
    count = 5 if wrong == "five" else 6
    with pytest.raises(InputError):
        depth_picture(DepthSet(maps[:count], rig("zero123plus-v1.1").cameras(8)[:count]), 8)
