"""Views from a renderer of your own: `python own_views.py ball.glb`.

A striped ball stands for what you render: six pictures, their alpha and their cameras are enough.
"""

import sys

import numpy as np

import img2mesh

SIZE, RADIUS, DISTANCE = 128, 0.6, 3.0
LENS = {"distance": DISTANCE, "fov_deg": 30.0}
# Coarse, so that this example takes seconds: leave `settings` out for a real asset.
SETTINGS = {"radiance": {"grid": 32}, "asset": {"texture_resolution": 256}}


def main(mesh: str) -> None:
    cameras = [
        img2mesh.Camera.orbit(azimuth, elevation, **LENS, width=SIZE, height=SIZE)
        for azimuth, elevation in zip(range(30, 390, 60), (20, -10) * 3, strict=True)
    ]
    pictures = [ball(camera) for camera in cameras]
    views = img2mesh.ViewSet.from_arrays(
        np.stack([rgb for rgb, _ in pictures]), np.stack([alpha for _, alpha in pictures]), cameras
    )
    asset = img2mesh.reconstruct_views(views, preset="draft", settings=SETTINGS)
    print(views, asset, sep="\n")
    asset.save(mesh)
    solid = asset.joined.to_trimesh()
    print(f"volume over that of a ball: {solid.volume / solid.bounding_sphere.volume:.2f}")


def ball(camera: img2mesh.Camera) -> tuple[np.ndarray, np.ndarray]:
    """Its colours (h, w, 3) and alpha (h, w): a ray a pixel, met with a sphere."""
    v, u = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    across, up = (u - camera.cx) / camera.fx, (camera.cy - v) / camera.fy
    rays = np.stack([across, up, -np.ones_like(u)], axis=2) @ camera.world_from_camera[:3, :3].T
    rays /= np.linalg.norm(rays, axis=2, keepdims=True)
    along = -rays @ camera.origin
    root = along**2 - DISTANCE**2 + RADIUS**2
    points = camera.origin + (along - np.sqrt(np.maximum(root, 0)))[..., None] * rays
    stripes = 0.5 + 0.4 * np.sign(np.sin(12 * points[..., 1:2] / RADIUS))
    return stripes * np.array([1.0, 0.6, 0.2]), root > 0


if __name__ == "__main__":
    main(*sys.argv[1:])
