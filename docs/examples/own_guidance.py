"""A guidance of your own shapes the field: `python own_guidance.py toy.png ball.glb`."""

import sys

import torch

import img2mesh
from img2mesh import pipeline
from img2mesh.diffusion.distillation import Guidance
from img2mesh.pages import distilled


class RedBall(Guidance):
    """Wants to see a red ball from everywhere, whatever the photo shows."""

    def gradient(self, renders, cameras, reference, step):  # type: ignore[no-untyped-def]
        v, u = torch.meshgrid(*[torch.linspace(-1, 1, renders.shape[-1])] * 2, indexing="ij")
        ball = (torch.hypot(u, v) < 0.7).float()
        red = torch.tensor([0.8, 0.1, 0.1])[:, None, None]
        return renders - (ball * red + (1 - ball))  # of half the squared difference


def main(photo: str, mesh: str) -> None:
    cutout = pipeline.cutout(img2mesh.Photo.open(photo))
    views = distilled.distil(
        cutout, RedBall(), weight_guidance=1.0, weight_input=0.0, weight_mask=0.0,
        grid=32, steps=30, resolutions=(16,), milestones=(), rate=0.3,  # coarse: takes seconds
    )  # fmt: skip
    small = {"radiance": {"grid": 32}, "asset": {"texture_resolution": 256}}
    img2mesh.reconstruct_views(views, preset="draft", settings=small).save(mesh)


if __name__ == "__main__":
    main(*sys.argv[1:])
