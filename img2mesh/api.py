"""The package from Python: one call from photo or views to a textured mesh, cached by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from numpy.typing import NDArray

from img2mesh.artifacts import Photo, TexturedMesh, ViewSet
from img2mesh.core.leftovers import temporary
from img2mesh.errors import InputError
from img2mesh.graph import Event, Finished, Leaf, Progressed, Reused, Runner, Started
from img2mesh.jobs.claims import claimed
from img2mesh.jobs.delivery import finished_asset
from img2mesh.jobs.execute import execute, runner_for
from img2mesh.jobs.job import Job, photo_job, views_job
from img2mesh.jobs.request import (
    LAST_STAGE,
    OutputOptions,
    Request,
    default_cache_dir,
    output_options,
)
from img2mesh.pipeline import PIPELINE
from img2mesh.settings import Settings, load_config, load_preset, resolve, stage_called

if TYPE_CHECKING:
    from PIL import Image

    #: A picture file, Pillow's picture, or an array.
    MaskInput = str | PathLike[str] | Image.Image | NDArray[Any]
    #: The same, or a photo that was opened before.
    PhotoInput = MaskInput | Photo
    #: A six-view sheet or a folder of posed views, or the views themselves.
    ViewsInput = str | PathLike[str] | ViewSet


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: name of the stage.
        fraction: of it that is done, in [0, 1].
        message: what it does just now; may be empty.
        cached: its result was in the cache.
    """

    stage: str
    fraction: float
    message: str = ""
    cached: bool = False

    def __str__(self) -> str:
        state = "cached" if self.cached else f"{self.fraction:4.0%} {self.message}"
        return f"{self.stage:<9} {state}".rstrip()


@dataclass(frozen=True, eq=False)
class Result:
    """What :func:`run` made.

    Attributes:
        asset: the textured mesh.
        report: the content of report.json: measures, times, who drew the views.
        notes: what to be careful about, in sentences.
        files: what lies in the output folder, by purpose: ``mesh``, ``preview``, ``page``, ...
    """

    asset: TexturedMesh
    report: dict[str, Any]
    notes: tuple[str, ...]
    files: dict[str, Path]

    def __repr__(self) -> str:
        return f"Result({self.asset!r}, {len(self.files)} files, {len(self.notes)} notes)"


class Options(TypedDict, total=False):
    """What every call takes: the fields of :class:`Session`."""

    preset: str
    settings: Mapping[str, Mapping[str, Any]] | None
    cache: PathLike[str] | Literal["user"] | None
    device: str
    low_memory: bool
    on_progress: Callable[[Progress], object] | None


@dataclass(frozen=True)
class Session:
    """How to compute, said once for many calls.

    Attributes:
        preset: a file in ``configs/``.
        settings: by stage, over the preset: ``{"surface": {"target_faces": 5000}}``.
        cache: folder of the stage cache; ``"user"`` is the user's own, None keeps nothing.
        device: where to compute: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        low_memory: trade speed for memory where a stage can.
        on_progress: called with a :class:`Progress` as the work goes on.

    Raises:
        InputError: an unknown preset, stage, setting or device, or a value of the wrong type.
    """

    preset: str = "default"
    settings: Mapping[str, Mapping[str, Any]] | None = None
    cache: PathLike[str] | Literal["user"] | None = "user"
    device: str = "auto"
    low_memory: bool = False
    on_progress: Callable[[Progress], object] | None = None

    def __post_init__(self) -> None:
        self._request()

    def reconstruct(self, photo: PhotoInput, *, mask: MaskInput | None = None) -> TexturedMesh:
        """See :func:`reconstruct`."""
        return self._asset(_job(photo, mask))

    def reconstruct_views(
        self,
        views: ViewsInput,
        *,
        rig: str | None = None,
        group: str | None = None,
        elevation: float | None = None,
    ) -> TexturedMesh:
        """See :func:`reconstruct_views`."""
        return self._asset(_views_job(views, rig, group, elevation))

    def run(
        self,
        photo: PhotoInput | ViewSet,
        *,
        output_dir: str | PathLike[str] = "outputs",
        mask: MaskInput | None = None,
        files: OutputOptions | None = None,
    ) -> Result:
        """See :func:`run`."""
        job = _job(photo, mask)
        request, wanted = self._request(), files or output_options("glb", False, preset=self.preset)
        with ExitStack() as stack:
            claim = claimed(Path(output_dir), job, request, wanted)
            folder, renamed = stack.enter_context(claim)
            if request.cache_dir is None:  # it must be there until the asset is loaded
                own = stack.enter_context(temporary("img2mesh-"))
                request = replace(request, cache_dir=Path(own))
            done = execute(job, request, wanted, folder, self._listener())
            asset = finished_asset(done.outcomes, job.stem)
        notes = (*([renamed] if renamed else []), *done.report["warnings"])
        return Result(asset, done.report, notes, done.files)

    def artifacts(self, photo: PhotoInput | ViewSet, *, until: str = LAST_STAGE) -> dict[str, Any]:
        """What every stage makes of a photo or views, by its name, up to the stage ``until``.

        Raises:
            InputError: the input cannot be used, or there is no such stage.
            Img2MeshError: a stage failed.
        """
        runner = self.runner()
        runner.run(stage_called(PIPELINE, until), self.inputs(photo))
        return {name: outcome.load() for name, outcome in runner.outcomes.items()}

    def runner(self) -> Runner:
        """The engine with these settings: its ``plan`` says what would run and why."""
        return runner_for(self._request(), self._listener())

    def inputs(self, photo: PhotoInput | ViewSet) -> dict[str, Leaf[Any]]:
        """A photo or views as what ``runner().plan`` and ``runner().run`` start from."""
        return _job(photo, None).given

    def _asset(self, job: Job) -> TexturedMesh:
        runner = self.runner()
        runner.run("game", job.given)
        return finished_asset(runner.outcomes, job.stem)

    def _request(self) -> Request:
        if self.cache is None:
            folder = None
        elif isinstance(self.cache, str):
            if self.cache != "user":
                raise InputError(f'cache takes a Path, None or "user", got {self.cache!r}')
            folder = default_cache_dir()
        else:
            folder = Path(self.cache)
        return Request(
            settings=resolve(PIPELINE, load_preset(self.preset), self.settings or {}),
            preset=self.preset,
            device=self.device,
            low_memory=self.low_memory,
            cache_dir=folder,
        )

    def _listener(self) -> Callable[[Event], None] | None:
        report = self.on_progress
        if report is None:
            return None

        def on_event(event: Event) -> None:
            match event:
                case Started():
                    report(Progress(event.stage, 0.0))
                case Progressed():
                    report(Progress(event.stage, event.fraction, event.message))
                case Reused() | Finished():
                    report(Progress(event.stage, 1.0, cached=isinstance(event, Reused)))

        return on_event


def reconstruct(
    photo: PhotoInput, *, mask: MaskInput | None = None, **options: Unpack[Options]
) -> TexturedMesh:
    """One photo to a textured mesh, cached stage by stage, called after the photo.

    Args:
        photo: a picture file, Pillow's picture, an array (h, w), (h, w, 3) or (h, w, 4), uint8 or
            float in [0, 1], or a :class:`img2mesh.Photo`.
        mask: a picture of the object's mask, in the same forms; a ``Photo`` brings its own.
        options: ``preset``, ``settings``, ``cache``, ``device``, ``low_memory``, ``on_progress``:
            see :class:`Session`.

    Raises:
        InputError: the photo, mask or a setting cannot be used.
        Img2MeshError: a stage failed.
    """
    return Session(**options).reconstruct(photo, mask=mask)


def reconstruct_views(
    views: ViewsInput,
    *,
    rig: str | None = None,
    group: str | None = None,
    elevation: float | None = None,
    **options: Unpack[Options],
) -> TexturedMesh:
    """Posed views of one object to a textured mesh: what comes after view generation.

    Args:
        views: a :class:`img2mesh.ViewSet`, a sheet, or a folder with a camera file or of a rig.
        rig: names the cameras of a sheet, or of a folder without a camera file.
        group: which list of a ``cameras.json`` to take.
        elevation: degrees, for rigs that leave it open; see :meth:`img2mesh.ViewSet.open`.
        options: as for :func:`reconstruct`.

    Raises:
        InputError: the views, cameras or a setting cannot be used.
        Img2MeshError: a stage failed.
    """
    return Session(**options).reconstruct_views(views, rig=rig, group=group, elevation=elevation)


def run(
    photo: PhotoInput | ViewSet,
    *,
    output_dir: str | PathLike[str] = "outputs",
    mask: MaskInput | None = None,
    files: OutputOptions | None = None,
    **options: Unpack[Options],
) -> Result:
    """What ``img2mesh run`` does: the whole job, with its folder of files and its report.

    Args:
        photo: as for :func:`reconstruct`, or views.
        output_dir: the folder goes into it, called after the photo.
        mask: a picture of the object's mask.
        files: formats and extras; ``mesh.glb`` alone if not given.
        options: as for :func:`reconstruct`.

    Raises:
        InputError: the input or a setting cannot be used.
        Img2MeshError: a stage failed or a file could not be written.
    """
    return Session(**options).run(photo, output_dir=output_dir, mask=mask, files=files)


def load_settings(
    preset: str = "default", *, config: str | PathLike[str] | None = None
) -> Settings:
    """A preset's settings by stage, with a TOML file's on top, in the form ``settings=`` takes.

    Raises:
        InputError: unknown preset, stage or setting, or a value of the wrong type.
    """
    more = {} if config is None else load_config(Path(config))
    return resolve(PIPELINE, load_preset(preset), more)


def _job(photo: PhotoInput | ViewSet, mask: MaskInput | None) -> Job:
    if isinstance(mask, str | PathLike):
        mask = Path(mask)
    if isinstance(photo, str | PathLike):
        if not isinstance(mask, Path | None):
            raise InputError("the mask of a photo in a file must be a file too")
        return photo_job(Path(photo), mask=mask)
    if isinstance(photo, Photo | ViewSet):
        if mask is not None:
            raise InputError(f"a {type(photo).__name__} brings its own mask")
        return views_job(photo) if isinstance(photo, ViewSet) else photo_job(photo)
    return photo_job(Photo.from_image(photo, mask=mask))


def _views_job(
    views: ViewsInput, rig: str | None, group: str | None, elevation: float | None
) -> Job:
    if isinstance(views, ViewSet):
        return views_job(views)
    return views_job(Path(views), rig=rig, group=group, elevation=elevation)
