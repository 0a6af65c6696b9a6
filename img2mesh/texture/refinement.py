"""A finished texture made better by a model that draws renders again: DreamGaussian's second stage.

From random cameras the asset is rendered, the render is drawn again at low strength, and the texels
follow by the gradient of the mean squared difference through the bilinear look-up at the pixels'
uv (Tang et al. 2023, arXiv 2309.16653, section 3.3). The photo's own view is held to the photo. The
surface and its uv do not move. Their Gaussians, which come before, have no counterpart here: their
rasteriser's licence forbids commercial use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from img2mesh.artifacts import TexturedMesh, View
from img2mesh.core.arrays import F32, OUTSIDE, U8
from img2mesh.core.cameras import Camera, look_at
from img2mesh.diffusion.pictures import Redraw
from img2mesh.geometry.mesh import bounds
from img2mesh.geometry.raycast import Scene
from img2mesh.imaging.fill import from_nearest
from img2mesh.io.files import replacing

#: Side of the renders in pixels, their vertical field of view in degrees, and how far the random
#: elevations reach to both sides of the horizon and of the photo, and at most: as published.
SIDE, _FOV, _REACH, _STEEPEST = 512, 49.1, 30.0, 80.0
#: Colours are moved as logits; 0 and 1 have none, so they come this near.
_NEAR = 1 / 1020
#: The photo's pixels count where the surface faces it by this cosine, as published.
_FACING = 0.5
#: Adam's usual numbers, and the steps between two checkpoints.
_BETAS, _EPSILON, _STORED = (0.9, 0.999), 1e-8, 10


@dataclass(frozen=True)
class Schedule:
    """How a texture is refined.

    Attributes:
        steps: of the optimiser, one random camera each.
        strengths: share of the denoising that is done again, at the first and after the last step.
        rate: of Adam, on logits of the colours.
        side: of the renders, pixels.
        seed: of cameras and noise.
    """

    steps: int
    strengths: tuple[float, float]
    rate: float
    side: int
    seed: int


@dataclass
class _State:
    """All that the rest of a refinement depends on; tensors (t * t, 3), counts (t * t, 1)."""

    step: int
    logits: Tensor
    mean: Tensor
    square: Tensor
    moved: Tensor


def refine_texture(
    asset: TexturedMesh,
    redraw: Redraw,
    schedule: Schedule,
    *,
    photo: View | None = None,
    scratch: Path | None = None,
    key: str = "",
    progress: Callable[[float, str], None] = lambda fraction, message: None,
) -> TexturedMesh:
    """Let the texture follow what a model makes of its renders.

    Args:
        asset: in the world of the photo's camera, +y up.
        redraw: the model.
        schedule: how.
        photo: a view that the texture is held to, where its camera is known.
        scratch: folder for checkpoints; a run that was killed goes on from there.
        key: what else the result depends on (the model's weights), for the checkpoint.
        progress: called with the fraction done.

    Returns:
        The asset with another texture; texels that no render showed keep their bytes.
    """
    texture = asset.texture.reshape(-1, 3).astype(np.float32) / np.float32(255)
    start = torch.from_numpy(np.clip(texture, _NEAR, 1 - _NEAR)).logit()
    whose = hashlib.sha256(asset.texture.tobytes() + asset.vertices.tobytes())
    whose.update(repr((schedule, key)).encode())
    state = _load(scratch, whose.hexdigest()) or _State(
        0, start, torch.zeros_like(start), torch.zeros_like(start), torch.zeros(len(start), 1)
    )
    sight = _Sight(asset, photo, schedule)
    while state.step < schedule.steps:
        state.logits.requires_grad_(True)
        loss = sight.loss(state, redraw)
        with _one_thread():  # several add up in an order of their own, and bytes would differ
            (slope,) = torch.autograd.grad(loss, state.logits)
        state.logits = state.logits.detach()
        _follow(state, slope, schedule.rate)
        state.step += 1
        if scratch is not None and state.step % _STORED == 0:
            _save(state, scratch, whose.hexdigest())
        done = state.step / schedule.steps
        progress(done, f"texture step {state.step} of {schedule.steps}")
    return replace(asset, texture=_texture(asset, state))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Sight:
    """The asset as seen from cameras, with a gradient to its texels."""

    def __init__(self, asset: TexturedMesh, photo: View | None, schedule: Schedule) -> None:
        self.asset, self.schedule = asset, schedule
        self.scene = Scene(asset.vertices, asset.faces)
        low, high = (corner.astype(np.float64) for corner in bounds(asset.vertices, asset.faces))
        self.centre = (low + high) / 2
        self.distance = np.linalg.norm(high - low) / 2 / np.sin(np.deg2rad(_FOV / 2))
        self.elevations = -_REACH, _REACH
        self.photo = None
        if photo is not None and photo.camera is not None:
            self.photo = self._known(photo, photo.camera)
            own = float(np.rad2deg(np.arcsin(np.clip(-photo.camera.forward[1], -1, 1))))
            self.elevations = (
                max(min(-_REACH, own - _REACH), -_STEEPEST),
                min(max(_REACH, own + _REACH), _STEEPEST),
            )

    def camera(self, draw: torch.Generator) -> Camera:
        """A random one around the asset."""
        side, (low, high) = self.schedule.side, self.elevations
        around, height = torch.rand(2, generator=draw, dtype=torch.float64).tolist()
        a, e = 2 * np.pi * around, np.deg2rad(low + (high - low) * height)
        towards = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
        pose = look_at(self.centre + self.distance * towards, self.centre)
        focal = side / 2 / np.tan(np.deg2rad(_FOV / 2))
        return Camera(pose, focal, focal, side / 2, side / 2, side, side)

    def loss(self, state: _State, redraw: Redraw) -> Tensor:
        """Mean squared differences from a redrawn render and from the photo."""
        schedule = self.schedule
        draw = torch.Generator().manual_seed(1_000_003 * schedule.seed + state.step)
        camera = self.camera(draw)
        seed = int(torch.randint(2**31, (1,), generator=draw))
        share = (state.step + 1) / schedule.steps
        first, last = schedule.strengths
        where, mask = self.pixels(camera)
        picture = torch.ones(schedule.side, schedule.side, 3)
        picture[mask] = where.colours(state.logits)
        wanted = redraw(
            picture.detach().numpy(), camera, strength=first + (last - first) * share, seed=seed
        )
        loss = (picture - torch.from_numpy(np.ascontiguousarray(wanted))).square().mean()
        if self.photo is not None:
            seen, colours = self.photo
            loss = loss + (seen.colours(state.logits) - colours).square().sum() / picture.numel()
        return loss

    def pixels(self, camera: Camera) -> tuple[_LookUp, Tensor]:
        """Where the texture is looked up, pixel by pixel, and which pixels (h, w) see surface."""
        hits = self.scene.look(camera)
        uv = hits.interpolate(self.asset.faces, self.asset.uv)[hits.mask]
        return _LookUp(uv, self.asset.texture.shape[0]), torch.from_numpy(hits.mask)

    def _known(self, photo: View, camera: Camera) -> tuple[_LookUp, Tensor] | None:
        """The photo's pixels that face the surface, and their colours."""
        hits = self.scene.look(camera)
        rays = camera.directions()
        towards = -rays / np.linalg.norm(rays, axis=2, keepdims=True)
        facing = (hits.normal * towards).sum(axis=2) > _FACING
        sure = hits.mask & facing & (photo.alpha > 0.99)
        if not sure.any():
            return None
        uv = hits.interpolate(self.asset.faces, self.asset.uv)[sure]
        side = self.asset.texture.shape[0]
        return _LookUp(uv, side), torch.from_numpy(np.ascontiguousarray(photo.rgb[sure]))


class _LookUp:
    """Bilinear look-ups in a square texture, differentiable in its texels.

    Args:
        uv: (k, 2), (0, 0) the top left of the picture.
        side: of the texture, texels.
    """

    def __init__(self, uv: F32, side: int) -> None:
        at = np.clip(uv.astype(np.float64) * side - 0.5, 0, side - 1)
        low = np.minimum(at.astype(np.int64), max(side - 2, 0))
        high, part = np.minimum(low + 1, side - 1), at - low
        (x0, y0), (x1, y1), (fx, fy) = low.T, high.T, part.T
        corners = (y0 * side + x0, y0 * side + x1, y1 * side + x0, y1 * side + x1)
        shares = ((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)
        self.texels = [torch.from_numpy(one) for one in corners]
        self.shares = [torch.from_numpy(one.astype(np.float32))[:, None] for one in shares]

    def colours(self, logits: Tensor) -> Tensor:
        """(k, 3) colours of texels (t * t, 3) that are given as logits."""
        texels = logits.sigmoid()
        corners = zip(self.texels, self.shares, strict=True)
        return torch.stack([texels[i] * share for i, share in corners]).sum(dim=0)


def _follow(state: _State, slope: Tensor, rate: float) -> None:
    """One step of Adam for the texels that were seen; the others and their memory rest."""
    seen = (slope != 0).any(dim=1)
    a, b = _BETAS
    state.moved[seen] += 1
    count, found = state.moved[seen], slope[seen]
    mean = state.mean[seen] = a * state.mean[seen] + (1 - a) * found
    square = state.square[seen] = b * state.square[seen] + (1 - b) * found**2
    step = (mean / (1 - a**count)) / ((square / (1 - b**count)).sqrt() + _EPSILON)
    state.logits[seen] -= rate * step


def _texture(asset: TexturedMesh, state: _State) -> U8:
    """The texture with the texels that moved, and beyond the charts those next to them."""
    side = len(asset.texture)
    moved = (state.moved > 0).numpy().reshape(side, side, 1)
    colours = np.rint(state.logits.sigmoid().numpy() * 255).astype(np.uint8)
    texture = np.where(moved, colours.reshape(side, side, 3), asset.texture)
    bands = np.concatenate([texture, moved.astype(np.uint8)], axis=2)
    around = from_nearest(bands, moved[..., 0] | (asset.coverage != OUTSIDE))
    return np.where(around[..., 3:] > 0, around[..., :3], texture)


def _file(scratch: Path) -> Path:
    return scratch / "texture.safetensors"


def _save(state: _State, scratch: Path, key: str) -> None:
    from safetensors.torch import save

    tensors = {n: getattr(state, n) for n in ("logits", "mean", "square", "moved")}
    about = {"refinement": json.dumps({"key": key, "step": state.step})}
    scratch.mkdir(parents=True, exist_ok=True)
    with replacing(_file(scratch)) as temporary:
        temporary.write_bytes(save(tensors, metadata=about))


def _load(scratch: Path | None, key: str) -> _State | None:
    """The state stored for exactly this refinement, or None: nothing there, or another's."""
    from safetensors import SafetensorError, safe_open

    if scratch is None or not _file(scratch).is_file():
        return None
    try:
        with safe_open(str(_file(scratch)), framework="pt") as file:
            about = json.loads(file.metadata()["refinement"])
            if about["key"] != key:
                return None
            names = ("logits", "mean", "square", "moved")
            return _State(about["step"], *(file.get_tensor(name) for name in names))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None
