"""The story: photo → cutout → views → depths → refined → registered → radiance → surface → asset.

A stage is a plain function. Its positional parameters are artifacts and *are* the wiring: a stage
that takes ``views`` runs after the stage called ``views``. Its keyword-only parameters are settings
and belong to the cache key; their defaults here are the only defaults there are. ``run`` says where
and how (device, progress, scratch folder) and never changes what comes out.

Call a stage directly from Python, or let :class:`img2mesh.graph.Runner` run :data:`PIPELINE` with
the cache. Bump a stage's ``version`` when its results change.
"""

from __future__ import annotations

from typing import Annotated

from img2mesh import field, multiview, segmentation
from img2mesh.artifacts import (
    Cutout,
    DepthSet,
    GameParts,
    Mesh,
    Photo,
    Quality,
    RadianceField,
    TexturedMesh,
    ViewSet,
)
from img2mesh.core.devices import with_doubles
from img2mesh.core.lengths import Unit
from img2mesh.core.parts import Parts
from img2mesh.core.ranges import Between
from img2mesh.export.frame import Frame, Pivot, Up
from img2mesh.graph import Graph, Run, stage
from img2mesh.meshing import Remesh
from img2mesh.multiview import Sampling

Seed = Annotated[int, Between(0, 4_294_967_295)]


@stage(version=6, identity=segmentation.identity)
def cutout(
    photo: Photo,
    *,
    segmenter: segmentation.Segmenter = "auto",
    model: str | None = None,
    box: tuple[int, int, int, int] | None = None,
    remove_background: bool = True,
    foreground_ratio: Annotated[float, Between(0.1, 1)] = 0.85,
    max_size: Annotated[int, Between(256, 4096)] = 1024,
    run: Run | None = None,
) -> Cutout:
    """The object alone, centred in a square.

    Args:
        photo: the picture; its own alpha or a given mask wins over any segmenter.
        segmenter: ``auto`` (weight-free, and the network u2netp where it was fetched), ``border``
            (weight-free alone), ``u2netp``, ``u2net``, ``sam`` or ``onnx`` (with ``model``).
        model: file or folder of the weights of ``sam`` and ``onnx``.
        box: x, y, width, height around the object, in pixels of the photo's file.
        remove_background: False takes the picture as it is.
        foreground_ratio: the object's longest side as a share of the frame.
        max_size: largest side of the cutout in pixels.
    """
    run = run or Run()
    return segmentation.cut_out(
        photo, segmenter=segmenter, model=model, box=box, remove_background=remove_background,
        foreground_ratio=foreground_ratio, max_size=max_size, device=run.device,
        progress=run.progress,
    )  # fmt: skip


@stage(version=7, identity=multiview.identity)
def views(
    cutout: Cutout,
    *,
    generator: str = "learned",
    body: multiview.BodyKind = "auto",
    parts: Parts = "keep",
    tile: Annotated[int, Between(16, 1024)] = 320,
    speed: multiview.SpeedName = "exact",
    steps: Annotated[int | None, Between(1, 1000)] = None,
    guidance_scale: Annotated[float, Between(0, 100)] = 4.0,
    lora: str | None = None,
    normals: bool = False,
    elevation: Annotated[float | None, Between(-90, 90)] = None,
    matcher: str = "sift",
    consistency: multiview.Consistency = "none",
    seed: Seed = 42,
    run: Run | None = None,
) -> ViewSet:
    """Six views around the object, on the rig the generator draws.

    Args:
        cutout: the object alone.
        generator: ``learned`` is the network that comes with the package (a ``.safetensors`` file:
            one of your own), ``geometric`` the weight-free prior; any other is a checkpoint.
        body: of an embedded generator: ``auto``, ``lathe``, ``box``, ``inflation`` or ``learned``.
        parts: of an embedded generator: separate parts of the outline ``keep`` apart, ``join`` by
            bars, or only the ``largest``.
        tile: side of one view in pixels, where the generator leaves it free.
        speed: of a published generator: ``exact``, ``fast`` or ``draft``.
        steps: denoising steps; none takes the generator's own for that speed.
        guidance_scale: classifier-free guidance of a published generator.
        lora: file of an adapter to a published generator.
        normals: let a published generator draw normal maps too, if it can.
        elevation: of the photo's camera, degrees, where views are relative to it; none: estimated.
        matcher: what estimates it: ``sift``, or the folder of a LightGlue.
        consistency: ``shared-attention`` lets views that are drawn one by one see each other.
        seed: seed of everything random.
    """
    run = run or Run()
    return multiview.generate(
        cutout, generator=generator, body=body, parts=parts, tile=tile, normals=normals,
        elevation=elevation, matcher=matcher, consistency=consistency,
        progress=run.progress, note=run.note,
        sampling=Sampling(speed, steps, guidance_scale, seed, run.device, run.low_memory, lora),
    )  # fmt: skip


@stage(version=1)
def depths(
    views: ViewSet,
    *,
    resolution: Annotated[int, Between(16, 512)] = 96,
    run: Run | None = None,
) -> DepthSet:
    """z-depth of the coarse shape at the views' poses: the views' own, else the visual hull's.

    Args:
        views: posed views.
        resolution: grid points along the longest side of the visual hull.
    """
    from img2mesh.geometry.visual_hull import hull_depths

    if views.depth is not None:
        return DepthSet(views.depth, views.cameras)
    depth = hull_depths(views.posed, views.cameras, resolution=resolution)
    return DepthSet(depth, views.cameras)


@stage(version=2, identity=multiview.identity)
def refined(
    cutout: Cutout,
    views: ViewSet,
    depths: DepthSet,
    *,
    generator: str = "learned",
    controlnet: str | None = None,
    strength: Annotated[float, Between(0, 10)] = 0.75,
    speed: multiview.SpeedName = "exact",
    steps: Annotated[int | None, Between(1, 1000)] = None,
    guidance_scale: Annotated[float, Between(0, 100)] = 4.0,
    lora: str | None = None,
    refiner: str | None = None,
    refiner_strength: Annotated[float, Between(0, 1)] = 0.25,
    refiner_prompt: str = "",
    seed: Seed = 42,
    run: Run | None = None,
) -> ViewSet:
    """The views after the depth-controlled second pass (where there is such control) and a refiner.

    Args:
        cutout: the object alone.
        views: the first pass.
        depths: depth of the coarse shape at the six poses.
        generator: what drew the views and draws them again.
        controlnet: name or folder of the depth ControlNet; none takes the checkpoint's own.
        strength: how much the depth counts; 0 draws the first pass again.
        speed: as in ``views``.
        steps: as in ``views``; a refiner's own where none are given.
        guidance_scale: classifier-free guidance.
        lora: as in ``views``.
        refiner: a text-to-image model, name or folder, that then draws each view again.
        refiner_strength: share of its denoising that is done again; 0 changes nothing.
        refiner_prompt: what the refiner is told that it sees.
        seed: seed of everything random.
    """
    run = run or Run()
    return multiview.refine(
        cutout, views, depths, generator=generator, controlnet=controlnet, strength=strength,
        refiner=multiview.Refiner(refiner, refiner_strength, refiner_prompt),
        sampling=Sampling(speed, steps, guidance_scale, seed, run.device, run.low_memory, lora),
        progress=run.progress,
    )  # fmt: skip


@stage(version=1)
def registered(
    refined: ViewSet,
    *,
    confidence: Annotated[float, Between(0, 10)] = 0.5,
    run: Run | None = None,
) -> ViewSet:
    """The views with the photo's camera, estimated where the generator does not know it.

    Args:
        refined: posed views, and the photo with or without a camera.
        confidence: how sure, in [0, 1], an estimate must be to be used; above 1 none is sought.
    """
    from img2mesh.pose import pose_photo

    run = run or Run()
    return pose_photo(refined, least=confidence, note=run.note)


@stage(version=13)
def radiance(
    registered: ViewSet,
    *,
    grid: Annotated[int, Between(16, 512)] = 128,
    fine_grid: Annotated[int, Between(16, 512, off=0)] = 0,
    density_steps: Annotated[int, Between(0, 100_000)] = 200,
    smoothness: field.Smoothness = "auto",
    relax_px: Annotated[float | None, Between(0, 64)] = None,
    normal_weight: Annotated[float, Between(0, 10_000)] = 1.0,
    depth_weight: Annotated[float, Between(0, 10_000)] = 20.0,
    use_photo: bool = True,
    renderer: field.Renderer = "torch",
    seed: Seed = 42,
    run: Run | None = None,
) -> RadianceField:
    """A signed-distance radiance field fitted to the views by volume rendering.

    Args:
        registered: posed views, with depth and normals where the generator knows them.
        grid: grid points along the longest side of the object.
        fine_grid: grid of a third, finer pass; 0 leaves it out.
        density_steps: steps of the coarse density that finds what is empty; only without depth.
        smoothness: ``exact`` for consistent views, ``generated`` for a network's; ``auto`` asks
            the views' provenance and measures how well given views agree.
        relax_px: outlines are widened by so many pixels first; none takes half of what they are
            measured to be misplaced by, and nothing from exact views.
        normal_weight: weight of the given normals.
        depth_weight: weight of the given depth.
        use_photo: use the photo as one more view where its pose is known.
        renderer: ``torch``; ``nerfacc`` is for comparison (its CUDA extension on a GPU).
        seed: seed of the ray order.
    """
    run = run or Run()
    return field.fit(
        registered, grid=grid, fine_grid=fine_grid, density_steps=density_steps,
        smoothness=smoothness, relax_px=relax_px, normal_weight=normal_weight,
        depth_weight=depth_weight, use_photo=use_photo, renderer=renderer, seed=seed,
        device=with_doubles(run.device, run.note), scratch=run.scratch, progress=run.progress,
    )  # fmt: skip


@stage(version=5)
def surface(
    radiance: RadianceField,
    *,
    target_faces: Annotated[int, Between(4, 5_000_000)] = 20_000,
    resolution: Annotated[int, Between(16, 768, off=0)] = 0,
    smoothing_steps: Annotated[int, Between(0, 1000)] = 2,
    parts: Parts = "keep",
    remesh: Remesh = "none",
    run: Run | None = None,
) -> Mesh:
    """One clean watertight mesh.

    Args:
        radiance: the fitted field.
        target_faces: triangles to keep.
        resolution: marching-cubes grid along the longest side; 0 uses the field's own.
        smoothing_steps: non-shrinking smoothing steps before decimation.
        parts: what the views show apart: ``keep`` it so, ``join`` by rods, or the ``largest``.
        remesh: ``none``: faces go where the surface bends; ``triangle`` and ``quad`` are even.
    """
    from img2mesh.meshing import extract

    run = run or Run()
    return extract(
        radiance, target_faces=target_faces, resolution=resolution, smoothing_steps=smoothing_steps,
        parts=parts, remesh=remesh, progress=run.progress,
    )  # fmt: skip


@stage(version=9, identity=multiview.refiner_identity)
def asset(
    surface: Mesh,
    registered: ViewSet,
    *,
    texture_resolution: Annotated[int, Between(64, 8192)] = 1024,
    delight: bool = False,
    frame: Frame = "asset",
    pivot: Pivot = "base",
    scale: Annotated[float, Between(1e-6, 1e6)] = 1.0,
    up: Up = "auto",
    size: str | None = None,
    unit: Unit | None = None,
    refiner: str | None = None,
    refiner_prompt: str = "",
    refiner_strengths: tuple[float, float] = (0.2, 0.05),
    refiner_steps: Annotated[int, Between(1, 100_000)] = 50,
    refiner_rate: Annotated[float, Between(1e-5, 10)] = 0.2,
    seed: Seed = 42,
    run: Run | None = None,
) -> TexturedMesh:
    """The deliverable: unwrapped, textured from the views, in the asset's own frame.

    Args:
        surface: the mesh.
        registered: the views that give it colour.
        texture_resolution: side of the texture in pixels.
        delight: take the smooth light of the views out of the colours.
        frame: ``asset`` (+y up, front +z, sized and placed) or ``world`` (the cameras' own).
        pivot: where the origin is: ``base`` or ``centre``.
        scale: largest extent in metres.
        up: the axis of the cameras' world that is up; ``auto`` asks the cameras.
        size: true size instead of scale, as ``height=9cm`` (width, depth, longest).
        unit: what one unit of the given cameras' world is; the asset then keeps its true size.
        refiner: a text-to-image model, or a Zero-1-to-3 checkpoint, that redraws the texture.
        refiner_prompt: what a text-to-image model is told that it sees.
        refiner_strengths: share of the denoising that is done again, first and last.
        refiner_steps: random cameras, one after another.
        refiner_rate: learning rate of the texture.
        seed: seed of those cameras and of the refiner's noise.
    """
    from img2mesh.export.frame import in_given_world, to_asset_frame, true_scale, upright
    from img2mesh.texture import refine_texture, texture_mesh

    run = run or Run()
    textured = texture_mesh(
        surface, registered, resolution=texture_resolution, delight=delight, progress=run.progress
    )
    if refiner is not None:
        sampling = Sampling(device=run.device, low_vram=run.low_memory)
        photo, drawing = registered.photo, (refiner, refiner_prompt)
        with multiview.redrawing(*drawing, photo=photo, sampling=sampling, note=run.note) as redraw:
            textured = refine_texture(
                textured, redraw, photo=photo, steps=refiner_steps, strengths=refiner_strengths,
                rate=refiner_rate, seed=seed, scratch=run.scratch, key=repr(drawing),
                progress=run.progress,
            )  # fmt: skip
    placed = in_given_world(textured, registered.unit)
    if frame != "world":
        placed = upright(placed, registered.cameras, up=up)
    extent = true_scale(placed, scale=scale, size=size, unit=unit)
    return to_asset_frame(placed, frame=frame, pivot=pivot, scale=extent)


@stage(version=5)
def game(
    asset: TexturedMesh,
    radiance: RadianceField,
    *,
    normal_map: bool = False,
    orm_map: bool = False,
    lods: Annotated[int, Between(0, 8)] = 0,
    lod_ratio: Annotated[float, Between(0.05, 0.95)] = 0.5,
    collision: bool = False,
    collision_hulls: Annotated[int, Between(1, 256)] = 16,
    collision_vertices: Annotated[int, Between(4, 256)] = 32,
    run: Run | None = None,
) -> GameParts:
    """What a game engine wants besides; all of it is off unless asked for.

    Args:
        asset: the deliverable.
        radiance: the fit, whose detail the normal map keeps.
        normal_map: bake the fit's surface into a tangent-space normal map.
        orm_map: bake an occlusion map, packed with roughness and metalness.
        lods: coarser versions to make.
        lod_ratio: faces of a version as a share of the one before.
        collision: make convex collision hulls.
        collision_hulls: hulls at most.
        collision_vertices: vertices of a hull at most.
    """
    from img2mesh.export.game import game_parts
    from img2mesh.texture import bake_maps

    run = run or Run()
    return game_parts(
        asset,
        bake_maps(asset, radiance, normal_map=normal_map, orm_map=orm_map, progress=run.progress),
        lods=lods, lod_ratio=lod_ratio, collision=collision, collision_hulls=collision_hulls,
        collision_vertices=collision_vertices,
    )  # fmt: skip


@stage(version=3)
def quality(
    asset: TexturedMesh, game: GameParts, registered: ViewSet, *, run: Run | None = None
) -> Quality:
    """What the finished asset measures against its own input, and the preview picture.

    Args:
        asset: the deliverable.
        game: the maps that it wears.
        registered: the views it was made from.
    """
    from img2mesh.report import measure

    return measure(game.with_maps(asset), registered)


PIPELINE = Graph(
    source={"photo": Photo},
    stages=[cutout, views, depths, refined, registered, radiance, surface, asset, game, quality],
)
