"""Atlas measures against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from img2mesh.report.charts import charts
from tests.shapes import box_asset, grid_asset


def test_seen_shares_are_areas_of_the_object() -> None:
    size = np.array([2.0, 1.0, 0.5])
    found = charts(box_asset(tuple(size), texture=192))
    total = 2 * (2 * 1 + 1 * 0.5 + 2 * 0.5)
    assert found.seen_photo == pytest.approx(2 * 1 / total)
    assert found.seen_views == pytest.approx(1 - 2 / total - 2 * 0.5 / total)
    assert found.uv_overlap == 0
    assert found.uv_utilisation == pytest.approx(6 * 44**2 / 192**2)


def test_faces_smaller_than_a_texel_count_too() -> None:
    sheet = grid_asset(200, texture=32)
    coverage = sheet.coverage.copy()
    coverage[:, :16] = 3
    found = charts(replace(sheet, coverage=coverage))
    # Area is not quite even over the wavy sheet.
    assert found.seen_photo == pytest.approx(0.5, abs=0.03)
    assert found.seen_photo + found.seen_views == pytest.approx(1)


def test_a_planted_overlap_is_found() -> None:
    box = box_asset(texture=192)
    uv = box.uv.copy()
    front, back = slice(0, 4), slice(4, 8)
    uv[back] = uv[front] + (uv[front].max(axis=0) - uv[front].min(axis=0)) * [0.5, 0]
    # One and a half charts' worth of texels where there had been two; half a chart is doubled.
    expected = 0.5 / (4 + 1.5)
    assert charts(replace(box, uv=uv)).uv_overlap == pytest.approx(expected, abs=0.02)


def test_large_atlases_are_sampled() -> None:
    small, large = charts(box_asset(texture=768)), charts(box_asset(texture=3072))
    assert large.uv_utilisation == pytest.approx(small.uv_utilisation, abs=0.01)
    assert large.seen_photo == pytest.approx(small.seen_photo)
