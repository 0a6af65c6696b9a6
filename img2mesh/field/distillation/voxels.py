"""Density and colour at the points of a cube, and what a camera sees of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from img2mesh.core.cameras import Camera
from img2mesh.field.grid import locate, look_up_channels
from img2mesh.field.volume_rendering import render_weights
from img2mesh.geometry.grid import Grid

#: Half the side of the cube, and the radius of the ball in it that is rendered.
REACH = 1.0
#: Density before softplus: of the first ball, and of the space around it (.7 % of the light a
#: voxel is absorbed, so that all of a ray feels the gradient).
_BODY, _CLEAR = 1.0, -5.0
#: How many times slower colours move than densities.
_SLOWER = 3.0
#: Optical depth a voxel below which a sample is left out, where nothing around it has more.
_DEAD = 1e-3
#: The surface is where so much of the light is absorbed.
_SURFACE = 0.44


@dataclass(frozen=True)
class Rendered:
    """What one camera sees.

    Attributes:
        picture: (c, h, w) on the background.
        opacity: (h, w).
        depth: (h, w) expected z-depth, the background's where the opacity is 0.
        surface: (h, w) z-depth where the surface is, NaN where there is none; no gradient.
        weights: (h w, k) of the samples.
    """

    picture: Tensor
    opacity: Tensor
    depth: Tensor
    surface: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Voxels:
    """The field.

    Attributes:
        table: (n^3, 1 + c) float32: density before softplus, and colours.
        points: along each side, n.
        spacing: of the samples along a ray, voxels.
        latent: colours are latents, not RGB.
    """

    table: Tensor
    points: int
    spacing: float = 1.0
    latent: bool = False

    @classmethod
    def ball(
        cls, points: int, channels: int, *, radius: float, spacing: float, latent: bool
    ) -> Voxels:
        """A grey ball around the origin.

        Args:
            points: along each side of the cube.
            channels: of a colour.
            radius: world units; the cube reaches to 1.
            spacing: of samples, voxels.
            latent: colours are latents.
        """
        axis = torch.linspace(-REACH, REACH, points)
        x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
        inside = (radius - (x * x + y * y + z * z).sqrt()) / (2 * REACH / (points - 1))
        table = torch.zeros(points**3, 1 + channels)
        table[:, 0] = (_BODY + 2 * inside).clamp(_CLEAR, _BODY).reshape(-1)
        return cls(table, points, spacing, latent)

    @property
    def grid(self) -> Grid:
        """Where the points lie."""
        n = self.points
        return Grid(np.full(3, -REACH), 2 * REACH / (n - 1), (n, n, n))

    def cpu(self) -> Voxels:
        """The same on the CPU, without a gradient."""
        return replace(self, table=self.table.detach().cpu())

    def absorbed(self) -> Tensor:
        """(n, n, n) optical depth of a voxel."""
        return softplus(self.table[:, 0]).reshape(self.grid.shape)

    def render(
        self, camera: Camera, background: Tensor, *, shift: float = 0.5, far: float = 10.0
    ) -> Rendered:
        """What a camera sees.

        Args:
            camera: outside the ball of radius 1.
            background: (c,) colour behind everything.
            shift: of the samples, in spacings, in [0, 1).
            far: z-depth of the background.
        """
        grid, device = self.grid, self.table.device
        height, width = camera.height, camera.width
        directions = torch.as_tensor(camera.directions(), dtype=torch.float32, device=device)
        across = directions.reshape(-1, 3)
        origin = torch.as_tensor(camera.origin.copy(), dtype=torch.float32, device=device)
        enter, leave = _ball(origin, across)
        norm = across.norm(dim=1)
        step = self.spacing * grid.voxel / norm
        count = int(((leave - enter) / step).clamp(min=0).max().ceil()) + 1
        depth = enter[:, None] + (torch.arange(count, device=device) + shift) * step[:, None]
        inside = depth < leave[:, None]
        ray, column = torch.nonzero(inside, as_tuple=True)
        points = (origin[:, None] + depth[ray, column] * across[ray].T).contiguous()
        alive = self._alive()[locate(grid, points).nearest]
        ray, column, points = ray[alive], column[alive], points[:, alive]
        value = look_up_channels(self.table, locate(grid, points))
        alpha = -torch.expm1(-softplus(value[:, 0]) * self.spacing)
        dense = torch.zeros(depth.shape, device=device).index_put((ray, column), alpha)
        weights = render_weights(dense)
        weight = weights[ray, column]
        colour = value[:, 1:] if self.latent else (value[:, 1:] / _SLOWER).sigmoid()
        zero = torch.zeros((len(across), colour.shape[1]), device=device)
        seen = zero.index_add(0, ray, weight[:, None] * colour)
        opacity = weights.sum(1)
        behind = (1 - opacity)[:, None]
        picture = seen + behind * background.to(device)
        expected = (weights * depth).sum(1) + behind[:, 0] * far
        surface = _first(weights.detach(), depth)
        shape = (height, width)
        return Rendered(
            picture.T.reshape(-1, *shape),
            opacity.reshape(shape),
            expected.reshape(shape),
            surface.reshape(shape),
            weights,
        )

    def _alive(self) -> Tensor:
        """(n^3,) bool: something is absorbed there or next to it."""
        some = (self.absorbed().detach() > _DEAD).float()[None, None]
        return torch.nn.functional.max_pool3d(some, 3, stride=1, padding=1).reshape(-1) > 0


def _ball(origin: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """(r,) z-depths at which rays enter and leave the ball; leave < enter where they miss it."""
    a = (across * across).sum(1)
    b = across @ origin
    root = b * b - a * (origin @ origin - REACH * REACH)
    half = root.clamp(min=0).sqrt()
    leave = torch.where(root > 0, (half - b) / a, -1.0)
    return ((-b - half) / a).clamp(min=0), leave


def _first(weights: Tensor, depth: Tensor) -> Tensor:
    """(r,) z-depth at which :data:`_SURFACE` of the light is absorbed, NaN where it never is."""
    total = weights.cumsum(1)
    reached = total >= _SURFACE
    at = reached.float().argmax(1, keepdim=True)
    before = (total - weights).gather(1, at)
    part = (_SURFACE - before) / weights.gather(1, at).clamp(min=1e-9)
    spacing = (depth[:, 1:2] - depth[:, :1]) if depth.shape[1] > 1 else torch.zeros_like(part)
    found = (depth.gather(1, at) + (part - 0.5) * spacing)[:, 0]
    return torch.where(reached.any(1), found, float("nan"))
