"""Views that do not quite agree: brought into register, told from views that do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tests.rooms import texture_mesh
from tests.texture.test_texture import around, ball, sampled

SIZE = 0.12  # of a square of the pattern, in world units: about 10 pixels


def squares(p):
    dark = np.floor(p / SIZE).astype(int).sum(axis=-1) % 2 == 0
    return np.where(dark[..., None], 0.15, 0.85).repeat(3, axis=-1)


def shaken(views, pixels, tint=0.0, seed=0):
    """Every view moved as a whole in a direction of its own, and tinted."""
    rng = np.random.default_rng(seed)
    rgb, alpha = [], []
    for picture, mask in zip(views.rgb, views.alpha, strict=True):
        angle = rng.uniform(0, 2 * np.pi)
        step = pixels * np.array([np.sin(angle), np.cos(angle)])
        gain = 1 + tint * rng.choice([-1.0, 1.0])
        # What is outside has no colour; it must not bleed in by the shift itself.
        near = ndimage.distance_transform_edt(
            mask < 0.5, return_distances=False, return_indices=True
        )
        filled = picture[near[0], near[1]]
        rgb.append(np.clip(ndimage.shift(filled, (*step, 0), order=1, mode="nearest") * gain, 0, 1))
        alpha.append(np.clip(ndimage.shift(mask, step, order=1), 0, 1))
    return replace(views, rgb=np.stack(rgb), alpha=np.stack(alpha))


def grey(asset):
    """Share of the seen surface, away from edges of the pattern, that is neither dark nor light."""
    points, colour, coverage = sampled(asset, 8000)
    middle = np.abs(points / SIZE - np.floor(points / SIZE) - 0.5).max(axis=1) < 0.3
    wrong = np.abs(colour - squares(points)).max(axis=1) > 0.2
    return float(wrong[middle & (coverage == 2)].mean())


@pytest.mark.parametrize("exact", [True, False])
def test_views_off_by_pixels_are_brought_into_register(exact):
    """Whatever their maker says of them, the pictures tell."""
    views = around(ball(), colour=squares)
    given = replace(shaken(views, 1.5, 0.05), provenance=replace(views.provenance, exact=exact))
    asset = texture_mesh(ball(), given, resolution=256)
    assert any("brought into register" in note for note in asset.notes)
    assert grey(asset) < 0.5 * grey_unregistered(given)


def grey_unregistered(views):
    from img2mesh.texture import vertex_colours

    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(vertex_colours, "_IN_REGISTER", 1e9)
        return grey(texture_mesh(ball(), views, resolution=256))


def test_views_that_agree_are_left_as_they_are():
    views = around(ball(), colour=squares)
    asset = texture_mesh(ball(), views, resolution=256)
    assert not any("register" in note for note in asset.notes)


def test_outlines_alone_bring_plain_views_into_register():
    """Nothing is painted on: the silhouette tells where the picture belongs."""
    views = around(ball(), colour=lambda p: p * 0 + 0.5)
    asset = texture_mesh(ball(), shaken(views, 3.0), resolution=128)
    assert any("brought into register" in note for note in asset.notes)


def test_registration_is_deterministic():
    views = shaken(around(ball(), colour=squares), 1.5, 0.05)
    first, again = (texture_mesh(ball(), views, resolution=128) for _ in range(2))
    assert first.texture.tobytes() == again.texture.tobytes()


def test_a_picture_without_a_pixel_on_the_silhouette_moves_nothing():
    """In a small one the blurred outline falls between the pixels that are looked at."""
    from img2mesh.texture import alignment

    nothing = np.zeros((0, 1))
    empty = alignment._Term(np.zeros((0, 2)), np.zeros((4, 4, 1)), nothing, np.ones(0), 1.0)
    still = alignment.Warp(np.zeros((3, 3, 2)), 2.0)
    assert not alignment._step(still, [empty], 1.0).shift.any()
