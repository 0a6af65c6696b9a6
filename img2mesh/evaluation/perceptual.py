"""Figures of networks: LPIPS and CLIP similarity, with weights the user names. Never random ones.

Nothing here downloads. A number is called LPIPS only if the ``lpips`` package computed it with a
backbone that was loaded from a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from img2mesh.errors import InputError, missing_extra

#: Two pictures (h, w, 3) in [0, 1] -> one figure.
Compare = Callable[[NDArray[Any], NDArray[Any]], float]
Net = Literal["alex", "vgg", "squeeze"]


@dataclass(frozen=True)
class Perceptual:
    """What the user has weights for; None where not.

    Attributes:
        lpips, clip: compare two pictures.
        features: of one batch of pictures, for the Frechet distance.
        names: figure -> what computed it, for the definitions.
    """

    lpips: Compare | None = None
    clip: Compare | None = None
    features: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    names: tuple[tuple[str, str], ...] = ()

    @classmethod
    def load(
        cls,
        *,
        lpips: Path | None = None,
        lpips_net: Net = "alex",
        clip: Path | None = None,
        features: Path | None = None,
    ) -> Perceptual:
        """From the user's files.

        Args:
            lpips: torchvision's backbone weights (``alexnet-*.pth``, ``vgg16-*.pth``, ...).
            lpips_net: which backbone they are.
            clip: folder of a CLIP vision model with projection (transformers' layout).
            features: ONNX file of a feature network, see :mod:`.frechet`.

        Raises:
            InputError: missing or unfit files.
            MissingExtraError: lpips or transformers is not installed.
        """
        from img2mesh.evaluation.frechet import onnx_features

        names = []
        if lpips is not None:
            names.append(("lpips", f"{lpips_net} backbone {lpips.name}"))
        if clip is not None:
            names.append(("clip_similarity", clip.name))
        if features is not None:
            names.append(("fid", f"features of {features.name}"))
        return cls(
            None if lpips is None else load_lpips(lpips, lpips_net),
            None if clip is None else load_clip(clip),
            None if features is None else onnx_features(features),
            tuple(names),
        )

    def measure(self, pred: NDArray[Any], reference: NDArray[Any]) -> dict[str, float]:
        """The figures of one picture against another, by name."""
        found = {"lpips": self.lpips, "clip_similarity": self.clip}
        return {k: f(pred, reference) for k, f in found.items() if f is not None}


def load_lpips(backbone: Path, net: Net = "alex") -> Compare:
    """LPIPS v0.1 with a backbone from a file; its linear layers come with the package.

    Raises:
        InputError: not the weights of that backbone.
        MissingExtraError: the package is not installed.
    """
    try:
        import lpips
    except ImportError:
        raise missing_extra("lpips", extra="metrics", purpose="LPIPS") from None
    import torch

    from img2mesh.diffusion import weights

    model: Any = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    state = weights.read_state(backbone)
    expected = model.net.state_dict()
    # The package cuts torchvision's ``features`` into slices and keeps the layers' numbers.
    renamed = {k: state.get(f"features.{k.split('.', 1)[1]}") for k in expected}
    wrong = [k for k, v in renamed.items() if v is None or v.shape != expected[k].shape]
    if wrong:
        raise InputError(
            f"{backbone} does not hold torchvision's {net} weights: features."
            f"{wrong[0].split('.', 1)[1]} is missing or of another size; name the backbone with "
            "--lpips-net"
        )
    model.net.load_state_dict(renamed)
    model.eval()

    @torch.inference_mode()
    def compare(a: NDArray[Any], b: NDArray[Any]) -> float:
        pair = torch.from_numpy(np.stack([a, b]).astype(np.float32)).permute(0, 3, 1, 2)
        return float(model(pair[:1], pair[1:], normalize=True))

    return compare


def load_clip(folder: Path) -> Compare:
    """Cosine of the image embeddings of a CLIP vision model with projection.

    Raises:
        InputError: no such folder, or weights that do not fit.
        MissingExtraError: transformers is not installed.
    """
    try:
        import transformers as t
    except ImportError:
        raise missing_extra("transformers", extra="diffusion", purpose="CLIP similarity") from None
    import torch
    from PIL import Image

    from img2mesh.diffusion import weights
    from img2mesh.multiview.zero123plus.preprocess import ImageProcessor

    config: Any = weights.read_json(folder / "config.json")
    if "vision_config" in config:
        width = config.get("projection_dim", 512)
        config = {**config["vision_config"], "projection_dim": width}
    settings = t.CLIPVisionConfig.from_dict(config)
    file = weights.find_weights(folder, weights.TRANSFORMERS_NAMES)
    state = weights.read_state(file)
    kept = {k: v for k, v in state.items() if k.startswith(("vision_model.", "visual_projection"))}
    model: Any = weights.build(
        lambda: t.CLIPVisionModelWithProjection(settings),
        kept or state,
        what=str(file),
        dtype=torch.float32,
    )
    processor = ImageProcessor.from_config(weights.read_json(folder / "preprocessor_config.json"))

    @torch.inference_mode()
    def compare(a: NDArray[Any], b: NDArray[Any]) -> float:
        pixels = [
            processor(Image.fromarray(np.rint(np.asarray(x) * 255).astype(np.uint8)))
            for x in (a, b)
        ]
        one, two = model(torch.cat(pixels)).image_embeds
        return float(torch.nn.functional.cosine_similarity(one, two, dim=0))

    return compare
