"""Density and colour at the points of a cube, and what a camera sees of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from img2mesh.core.cameras import Camera
from img2mesh.field.gather import firsts, pick, places
from img2mesh.field.grid import locate, look_up_channels
from img2mesh.field.volume_rendering import weights_of_depth
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
#: The surface is where this optical depth lies in front, as in :mod:`img2mesh.field.density`.
_SURFACE = 0.58


@dataclass(frozen=True)
class Rendered:
    """What one camera sees.

    Attributes:
        picture: (c, h, w) on the background.
        opacity: (h, w).
        depth: (h, w) expected z-depth, the background's where the opacity is 0.
        surface: (h, w) z-depth where the surface is, NaN where there is none; no gradient.
        weights: (n,) of the samples.
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
        table: (1 + c, n^3) float32: density before softplus, and colours.
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
        table = torch.zeros(1 + channels, points**3)
        table[0] = (_BODY + 2 * inside).clamp(_CLEAR, _BODY).reshape(-1)
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
        return softplus(self.table[0]).reshape(self.grid.shape)

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
        ray, column = torch.nonzero(depth < leave[:, None], as_tuple=True)
        at = depth[ray, column]
        points = (origin[:, None] + at * across[ray].T).contiguous()
        alive = places(self._alive()[locate(grid, points).nearest])
        ray, at, points = pick(alive, ray, at, points)
        start = torch.zeros(len(across) + 1, dtype=torch.int64, device=device)
        torch.cumsum(torch.bincount(ray, minlength=len(across)), 0, out=start[1:])
        value = look_up_channels(self.table, locate(grid, points))
        tau = softplus(value[0]).double() * self.spacing
        weights = weights_of_depth(tau, ray, start).float()
        colour = value[1:] if self.latent else (value[1:] / _SLOWER).sigmoid()
        summed = torch.cat([colour, torch.ones_like(value[:1]), at[None]])
        zero = torch.zeros((len(summed), len(across)), device=device)
        total = zero.index_add(1, ray, weights * summed)
        opacity = total[-2]
        behind = 1 - opacity
        picture = total[:-2] + behind * background.to(device)[:, None]
        surface = self._first(tau.detach(), ray, start, at, step)
        shape = (height, width)
        return Rendered(
            picture.reshape(-1, *shape),
            opacity.reshape(shape),
            (total[-1] + behind * far).reshape(shape),
            surface.reshape(shape),
            weights,
        )

    def _alive(self) -> Tensor:
        """(n^3,) bool: something is absorbed there or next to it."""
        some = (self.absorbed().detach() > _DEAD).float()[None, None]
        return torch.nn.functional.max_pool3d(some, 3, stride=1, padding=1).reshape(-1) > 0

    @staticmethod
    def _first(tau: Tensor, ray: Tensor, start: Tensor, depth: Tensor, step: Tensor) -> Tensor:
        """(r,) z-depth at which the optical depth reaches :data:`_SURFACE`, NaN where never."""
        out = torch.full((len(start) - 1,), float("nan"), device=tau.device)
        if not len(tau):
            return out
        through = tau.cumsum(0)
        first = start[:-1].clamp(max=len(tau) - 1)
        through = through - (through - tau)[first][ray]
        reached = places(through >= _SURFACE)
        hit = reached[firsts(ray[reached])]
        part = (0.5 - (through[hit] - _SURFACE) / tau[hit].clamp(min=1e-9)).float()
        out[ray[hit]] = depth[hit] + part * step[ray[hit]]
        return out


def _ball(origin: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """(r,) z-depths at which rays enter and leave the ball; leave < enter where they miss it."""
    a = (across * across).sum(1)
    b = across @ origin
    root = b * b - a * (origin @ origin - REACH * REACH)
    half = root.clamp(min=0).sqrt()
    leave = torch.where(root > 0, (half - b) / a, -1.0)
    return ((-b - half) / a).clamp(min=0), leave
