"""Conventions and cameras. The rest of the package refers here and never restates them.

World
    Right-handed, +y up, the front of the object towards +z (glTF 2.0).
    Azimuth 0 is the input picture; a growing azimuth moves the camera to its own right.
    Positive elevation looks down on the object. Angles are degrees wherever a name says ``_deg``.
Camera
    ``world_from_camera`` is a rigid (4, 4) matrix with OpenGL axes: x right, y up, the camera looks
    along its own -z. Depth is *z-depth*: the distance along the optical axis, positive in front of
    the camera, in world units; never the length of the ray.
Pixels
    Origin at the top left corner, u to the right, v down; the first pixel's centre is (0.5, 0.5).
Colour
    ``rgb`` is float32 in [0, 1], sRGB-encoded (as in the file), with straight alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from img2mesh.errors import InputError

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera without distortion.

    Attributes:
        world_from_camera: (4, 4) float64, rigid, OpenGL axes.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels (the middle of the picture is width / 2, height / 2).
        width, height: picture size in pixels.

    Raises:
        InputError: the matrix is not rigid or a size or focal length is not positive.
    """

    world_from_camera: NDArray[np.float64]
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        matrix = np.array(self.world_from_camera, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError(f"a camera matrix must be 4x4 and finite, got shape {matrix.shape}")
        rotation = matrix[:3, :3]
        if (
            np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3
            or np.linalg.det(rotation) < 0
            or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6
        ):
            raise InputError(
                "a camera matrix is not a rigid camera-to-world transform "
                "(rotation without scale or mirror, last row 0 0 0 1)"
            )
        if min(self.fx, self.fy, self.width, self.height) <= 0:
            raise InputError("a camera needs a positive focal length and picture size")
        matrix.setflags(write=False)
        object.__setattr__(self, "world_from_camera", matrix)

    def __repr__(self) -> str:
        at = ", ".join(f"{c:.3g}" for c in self.origin)
        return f"Camera({self.width}x{self.height}, focal {self.fx:.1f} px, at ({at}))"

    @classmethod
    def from_fov(
        cls, world_from_camera: ArrayLike, *, fov_deg: float, width: int, height: int
    ) -> Camera:
        """A camera with square pixels; ``fov_deg`` is the vertical field of view."""
        focal = 0.5 * height / np.tan(np.deg2rad(fov_deg) / 2)
        matrix = np.asarray(world_from_camera, dtype=np.float64)
        return cls(matrix, float(focal), float(focal), width / 2, height / 2, width, height)

    @classmethod
    def orbit(
        cls,
        azimuth_deg: float,
        elevation_deg: float,
        *,
        distance: float,
        fov_deg: float,
        width: int,
        height: int,
    ) -> Camera:
        """A camera on a sphere around the origin, looking at it, +y up."""
        pose = orbit(azimuth_deg, elevation_deg, distance)
        return cls.from_fov(pose, fov_deg=fov_deg, width=width, height=height)

    @property
    def camera_from_world(self) -> NDArray[np.float64]:
        """(4, 4) float64, the inverse of ``world_from_camera``."""
        rotation, origin = self.world_from_camera[:3, :3], self.origin
        inverse = np.eye(4)
        inverse[:3, :3] = rotation.T
        inverse[:3, 3] = -rotation.T @ origin
        return inverse

    @property
    def origin(self) -> NDArray[np.float64]:
        """(3,) camera centre in the world."""
        return self.world_from_camera[:3, 3]

    @property
    def forward(self) -> NDArray[np.float64]:
        """(3,) unit viewing direction in the world."""
        return -self.world_from_camera[:3, 2]

    @property
    def fov_deg(self) -> float:
        """Vertical field of view."""
        return float(2 * np.rad2deg(np.arctan(0.5 * self.height / self.fy)))

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with another number of pixels over the same field of view."""
        sx, sy = width / self.width, height / self.height
        return Camera(
            self.world_from_camera,
            self.fx * sx,
            self.fy * sy,
            self.cx * sx,
            self.cy * sy,
            width,
            height,
        )

    def window(self, left: int, top: int, width: int, height: int) -> Camera:
        """The same camera, of whose picture a window is left; all in pixels."""
        return Camera(
            self.world_from_camera,
            self.fx,
            self.fy,
            self.cx - left,
            self.cy - top,
            width,
            height,
        )

    def moved(self, new_from_world: ArrayLike, *, scale: float = 1.0) -> Camera:
        """The camera in another world: ``x_new = new_from_world @ x``, which may scale uniformly.

        ``scale`` is the scale contained in ``new_from_world``; the rotation stays rigid.
        """
        matrix = np.asarray(new_from_world, dtype=np.float64) @ self.world_from_camera
        matrix[:3, :3] /= scale
        return Camera(matrix, self.fx, self.fy, self.cx, self.cy, self.width, self.height)

    def project(self, points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points to pixels.

        Args:
            points: (..., 3).

        Returns:
            uv: (..., 2) pixel coordinates; meaningless where depth <= 0.
            depth: (...,) z-depth in world units.
        """
        m = self.camera_from_world
        local = np.asarray(points, dtype=np.float64) @ m[:3, :3].T + m[:3, 3]
        depth = -local[..., 2]
        safe = np.where(np.abs(depth) < 1e-12, 1e-12, depth)
        u = self.cx + self.fx * local[..., 0] / safe
        v = self.cy - self.fy * local[..., 1] / safe
        return np.stack([u, v], axis=-1), depth

    def directions(self) -> NDArray[np.float64]:
        """(height, width, 3) world directions through pixel centres with *unit z-depth*.

        ``origin + depth * direction`` is the point seen at that z-depth; normalise for unit rays.
        """
        u = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        v = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        local = np.empty((self.height, self.width, 3))
        local[..., 0], local[..., 1], local[..., 2] = u[None, :], -v[:, None], -1.0
        return local @ self.world_from_camera[:3, :3].T


def orbit(azimuth_deg: float, elevation_deg: float, distance: float) -> NDArray[np.float64]:
    """(4, 4) ``world_from_camera`` of a camera that looks at the origin from a sphere.

    Position: ``distance * (cos e sin a, sin e, cos e cos a)``.
    """
    a, e = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    position = distance * np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    return look_at(position, np.zeros(3))


def look_at(position: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """(4, 4) ``world_from_camera`` at ``position`` looking at ``target``, +y up.

    Straight up or down, where +y gives no direction, the picture's up is -z or +z.
    """
    eye = np.asarray(position, dtype=np.float64)
    backward = eye - np.asarray(target, dtype=np.float64)
    backward /= np.linalg.norm(backward)
    up = np.array([0.0, 1.0, 0.0])
    if abs(backward[1]) > 1 - 1e-9:
        up = np.array([0.0, 0.0, -np.sign(backward[1])])
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = right, np.cross(backward, right)
    matrix[:3, 2], matrix[:3, 3] = backward, eye
    return matrix


def scene_bounds(cameras: Sequence[Camera]) -> tuple[NDArray[np.float64], float]:
    """Where the cameras look, and the radius of a sphere around it that holds what they see."""
    lhs, rhs = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:  # the point nearest to all optical axes, in the least-squares sense
        across = np.eye(3) - np.outer(camera.forward, camera.forward)
        lhs += across
        rhs += across @ camera.origin
    if np.linalg.cond(lhs) > 1e6:
        raise InputError(
            "all cameras look in the same direction, so the shape cannot be found: give views "
            "from around the object"
        )
    centre: NDArray[np.float64] = np.asarray(np.linalg.solve(lhs, rhs), np.float64)
    reach = []
    for camera in cameras:
        distance = float((centre - camera.origin) @ camera.forward)
        half = max(camera.width / camera.fx, camera.height / camera.fy) / 2
        reach.append(distance * half * 1.5)  # 1.5: the picture's corner, with room for perspective
    if min(reach) <= 0:
        raise InputError(
            "a camera looks away from the place the others look at: camera matrices must be "
            "camera-to-world with OpenGL axes (looking along -z)"
        )
    return centre, max(reach)
