"""Segment Anything through transformers' own classes, prompted by the weight-free segmenter.

The checkpoint is a folder on this machine in the published layout; nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.core.arrays import F32, U8
from img2mesh.errors import InputError, missing_extra
from img2mesh.segmentation.matte import main_object, refine_alpha
from img2mesh.segmentation.result import Segmentation

#: The prompt box is widened by this share of its size: SAM tolerates a loose box, not a cut one.
_LOOSE = 0.05


def segment(rgb: U8, *, model: Path, device: str = "cpu") -> Segmentation:
    """Prompt the network with a box and points around the object and take its best mask.

    Args:
        rgb: (h, w, 3) uint8.
        model: folder with ``config.json``, weights (safetensors) and, if there, processor settings.
        device: where the network runs.

    Raises:
        MissingExtraError: no transformers.
        InputError: the folder holds no SAM checkpoint.
    """
    try:
        import torch
        from transformers import SamModel, SamProcessor
    except ImportError:
        raise missing_extra("transformers", extra="sam", purpose="the sam segmenter") from None
    network, processor = _load(model, SamModel, SamProcessor)
    network = network.to(device).eval()
    box, points, notes = _prompt(rgb)
    inputs = processor(
        images=rgb,
        input_boxes=[[box]],
        input_points=[[points]],
        input_labels=[[[1] * len(points)]],
        return_tensors="pt",
    ).to(device)
    with torch.inference_mode():
        outputs = network(**inputs, multimask_output=True)
    logits = processor.image_processor.post_process_masks(
        outputs.pred_masks.cpu(),
        inputs["original_sizes"].cpu(),
        inputs["reshaped_input_sizes"].cpu(),
        binarize=False,
    )[0][0]
    scores = outputs.iou_scores[0, 0].cpu().numpy()
    best = int(np.argmax(scores))
    probability = torch.sigmoid(logits[best].float()).numpy().astype(np.float32)
    mask, more, _ = main_object(probability > 0.5)
    matte: F32 = np.where(mask | (probability <= 0.5), probability, 0).astype(np.float32)
    confidence = float(np.clip(scores[best], 0, 1)) if mask.any() else 0.0
    return Segmentation(refine_alpha(matte), round(confidence, 3), (*notes, *more))


def _load(folder: Path, network_class: Any, processor_class: Any) -> tuple[Any, Any]:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    try:
        network = network_class.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        if (folder / "preprocessor_config.json").is_file():
            images = SamImageProcessorPil.from_pretrained(folder, local_files_only=True)
        else:
            images = SamImageProcessorPil()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{str(folder)!r} holds no SAM checkpoint (config.json and model.safetensors): "
            f"{str(error).splitlines()[0][:120]}"
        ) from error
    return network, processor_class(images)


def _prompt(rgb: U8) -> tuple[list[float], list[list[float]], tuple[str, ...]]:
    """(box xyxy, points xy, notes) in photo pixels from the border segmenter, else the middle."""
    import cv2

    from img2mesh.segmentation import border

    h, w = rgb.shape[:2]
    inside = border.segment(rgb).matte > 0.5
    if inside.sum() < 64:
        return (
            [0.05 * w, 0.05 * h, 0.95 * w, 0.95 * h],
            [[w / 2, h / 2]],
            ("the object stands out little: the network was asked for what is in the middle",),
        )
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    room_x, room_y = _LOOSE * (x1 - x0), _LOOSE * (y1 - y0)
    box = [max(x0 - room_x, 0), max(y0 - room_y, 0), min(x1 + room_x, w), min(y1 + room_y, h)]
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return [float(side) for side in box], [[float(x) + 0.5, float(y) + 0.5]], ()
