"""The mesh rooms with the settings that tests take for granted."""

from __future__ import annotations

from functools import partial

from img2mesh import meshing, texture
from img2mesh.export import frame

extract = partial(
    meshing.extract,
    target_faces=30_000,
    smoothing_steps=2,
    resolution=0,
    remesh="none",
    parts="keep",
)
texture_mesh = partial(texture.texture_mesh, delight=False)
to_asset_frame = partial(frame.to_asset_frame, frame="asset", pivot="base", scale=1.0)
