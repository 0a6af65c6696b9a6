"""The second page of the story: photo → cutout → refined → registered → …, refined by distilling.

No views are drawn: a field is pulled into shape by what a generator that knows any camera thinks of
its renders, and its renders are the views from then on, with exact depth. Everything after is the
pipeline's. The numbers of published recipes are the presets in ``configs/distill``; as on the first
page, the defaults here are the only ones.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

from img2mesh import multiview
from img2mesh.artifacts import Cutout, Photo, Provenance, ViewSet
from img2mesh.core.ranges import Between
from img2mesh.diffusion.scores import Kind
from img2mesh.field.distillation.recipe import Optimiser, Recipe
from img2mesh.graph import Graph, Run, stage
from img2mesh.pipeline import Seed, asset, cutout, game, quality, radiance, registered, surface

if TYPE_CHECKING:
    from img2mesh.diffusion.distillation import Guidance

Share = Annotated[float, Between(0, 1)]
Weight = Annotated[float, Between(0, 1e9)]


@stage(version=1, identity=multiview.identity)
def refined(
    cutout: Cutout,
    *,
    guidance: Kind = "sds",
    generator: str = "zero123-xl",
    guidance_scale: Annotated[float, Between(0, 1000)] = 3.0,
    elevation: Annotated[float, Between(-90, 90)] = 0.0,
    latent: bool = False,
    noise_start: tuple[float, float] = (0.4, 0.85),
    noise_end: tuple[float, float] = (0.2, 0.5),
    noise_until: Share = 0.33,
    noise_annealed: bool = False,
    copy_rate: Annotated[float, Between(0, 1)] = 1e-4,
    steps: Annotated[int, Between(1, 1_000_000)] = 600,
    rate: Annotated[float, Between(1e-6, 10)] = 0.05,
    optimiser: Optimiser = "adam",
    grid: Annotated[int, Between(16, 256)] = 96,
    resolutions: tuple[int, ...] = (64, 128, 256),
    milestones: tuple[int, ...] = (200, 300),
    batch: Annotated[int, Between(1, 64)] = 1,
    distance: Annotated[float, Between(1.1, 20)] = 2.0,
    fov_deg: Annotated[float, Between(5, 120)] = 49.13,
    elevations: tuple[float, float] = (-10.0, 80.0),
    jitter: Annotated[float, Between(0, 1)] = 0.0,
    radius: Annotated[float, Between(0.05, 1)] = 0.5,
    weight_guidance: Weight = 0.1,
    weight_input: Weight = 500.0,
    weight_mask: Weight = 50.0,
    weight_depth_smooth: Weight = 0.0,
    weight_near: Weight = 0.0,
    weight_empty: Weight = 0.0,
    weight_sparse: Weight = 0.1,
    weight_opaque: Weight = 0.1,
    weight_rough: Weight = 0.01,
    preview_every: Annotated[int, Between(0, 1_000_000)] = 100,
    seed: Seed = 42,
    run: Run | None = None,
) -> ViewSet:
    """Six views of a field that score distillation shaped, with exact depth.

    Args:
        cutout: the object alone.
        guidance: ``sds`` (DreamFusion), ``sjc`` (Zero-1-to-3's own recipe) or ``vsd``
            (ProlificDreamer).
        generator: the checkpoint that judges; of the Zero-1-to-3 kind.
        guidance_scale: classifier-free guidance.
        elevation: of the photo's camera, degrees.
        latent: the field's colours are latents of the checkpoint's VAE.
        noise_start: lowest and highest noise level drawn, as shares of the training steps.
        noise_end: the same in the end.
        noise_until: share of the run after which the end is reached.
        noise_annealed: take the highest level itself instead of drawing.
        copy_rate: learning rate of the copy that ``vsd`` trains on the renders.
        steps: of the optimiser.
        rate: its learning rate.
        optimiser: ``adam`` or ``adamax``.
        grid: points along each side of the field.
        resolutions: sides of the renders in pixels, one after another.
        milestones: steps at which the next resolution begins.
        batch: random views a step.
        distance: of the cameras; the field reaches to 1.
        fov_deg: vertical field of view.
        elevations: lowest and highest of the random views, degrees.
        jitter: random change of the distance.
        radius: of the ball that it begins with.
        weight_guidance: of the guidance's gradient.
        weight_input: of the photo's colours.
        weight_mask: of the photo's outline.
        weight_depth_smooth: of smooth depth (random views from half the run on).
        weight_near: of agreement with a view from almost the same place.
        weight_empty: of samples that decide (Zero-1-to-3's emptiness).
        weight_sparse: of pixels that see nothing.
        weight_opaque: of pixels that decide.
        weight_rough: of differences between neighbouring densities.
        preview_every: steps between two preview pictures; 0 draws none.
        seed: of cameras and noise.
    """
    from img2mesh.diffusion.distillation import ScoreGuidance, Window
    from img2mesh.field.distillation.views import distilled_views

    run = run or Run()
    window = Window(*noise_start, *noise_end, until=noise_until, annealed=noise_annealed)
    recipe = Recipe(
        steps=steps, rate=rate, optimiser=optimiser, grid=grid, resolutions=resolutions,
        milestones=milestones, batch=batch, distance=distance, fov_deg=fov_deg,
        elevations=elevations, jitter=jitter, radius=radius, weight_guidance=weight_guidance,
        weight_input=weight_input, weight_mask=weight_mask,
        weight_depth_smooth=weight_depth_smooth, weight_near=weight_near,
        weight_empty=weight_empty, weight_sparse=weight_sparse, weight_opaque=weight_opaque,
        weight_rough=weight_rough, preview_every=preview_every, seed=seed,
    )  # fmt: skip
    sampling = multiview.Sampling(
        guidance_scale=guidance_scale, seed=seed, device=run.device, low_vram=run.low_memory
    )
    judge = multiview.judge(generator, sampling=sampling)
    guide = ScoreGuidance(
        judge.denoiser, guidance, scale=guidance_scale, window=window, latent=latent, rate=copy_rate
    )
    return distilled_views(
        cutout,
        guide,
        recipe,
        elevation=elevation,
        provenance=judge.provenance,
        device=str(judge.device),
        scratch=run.scratch,
        key=repr((guidance, guidance_scale, window, copy_rate, judge.identity)),
        progress=run.progress,
    )


def distil(
    cutout: Cutout,
    guidance: Guidance,
    *,
    provenance: Provenance | None = None,
    run: Run | None = None,
    **settings: Any,
) -> ViewSet:
    """The same with a guidance of one's own.

    Args:
        cutout: the object alone.
        guidance: anything with the method ``gradient``, see
            :class:`img2mesh.diffusion.distillation.Guidance`.
        provenance: what the report says of the views.
        run: where and how.
        settings: those of :func:`refined` that do not choose the guidance; its defaults hold.

    Raises:
        InputError: no such setting, or the guidance returned no gradient of the renders' shape.
    """
    from img2mesh.field.distillation.views import distilled_views

    run = run or Run()
    known = DISTILLATION.stages["refined"].resolve(settings)
    recipe = Recipe(**{field.name: known[field.name] for field in fields(Recipe)})
    return distilled_views(
        cutout,
        guidance,
        recipe,
        elevation=known["elevation"],
        provenance=provenance or Provenance(generator="own guidance"),
        device="cpu" if run.device == "auto" else run.device,
        scratch=run.scratch,
        key="",
        progress=run.progress,
    )


DISTILLATION = Graph(
    source={"photo": Photo},
    stages=[cutout, refined, registered, radiance, surface, asset, game, quality],
)
