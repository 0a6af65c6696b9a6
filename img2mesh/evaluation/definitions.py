"""What every figure is, in one sentence: printed beside it, and written into every file of results.

docs/evaluation.md says it in full. No heavy imports: the help reads this.
"""

from __future__ import annotations

SHAPE = {
    "f_1": "share of samples within 1 % of the reference's diagonal, both ways (F-score)",
    "f_2": "the same at 2 %",
    "f_5": "the same at 5 %",
    "chamfer_pct": "mean distance, both ways, in % of the diagonal",
    "hausdorff_99": "99 % of samples are nearer than this, in world units",
    "normal_consistency": "mean |cos| between the normals of nearest points",
}
VOLUME = {
    "volume_iou": "intersection over union of the enclosed volumes; only where both are closed",
}
PICTURE = {
    "psnr": "dB over the whole picture on white",
    "psnr_object": "dB over pixels that either side covers",
    "ssim": "structural similarity, 7x7 window",
    "mask_iou": "overlap of the silhouettes",
    "mask_iou_worst": "the same in the worst view",
}
#: The papers' protocol: the views of an object side by side in one picture, judged as one picture.
TILED = {
    "psnr_tiled": "dB over all views tiled to one picture, on white",
    "ssim_tiled": "structural similarity of the tiled picture, 7x7 window",
}
#: Figures of networks; each needs weights that the user names.
PERCEPTUAL = {
    "lpips": "LPIPS v0.1 (Zhang et al. 2018) a view, lower is better",
    "lpips_tiled": "LPIPS of the tiled picture",
    "clip_similarity": "cosine between the CLIP embeddings of a view and its reference",
}
FRECHET = {
    "fid": "Frechet distance between the features of all views and of all references (FID where "
    "the network is the usual Inception); biased upwards for few pictures",
}
#: Of a mesh reconstructed from the views, against the true mesh in the same frame.
MESH = {
    **{k: f"visible surface: {v}" for k, v in SHAPE.items() if k != "hausdorff_99"},
    **VOLUME,
    "watertight": "share of meshes whose every edge has exactly two faces",
}
ALL = {**PICTURE, **TILED, **PERCEPTUAL, **FRECHET, **MESH}
#: Figures of which less is better.
LOWER = ("chamfer_pct", "lpips", "lpips_tiled", "fid", "hausdorff_99")


def used(names: object) -> dict[str, str]:
    """The definitions of those figures that appear in a mapping or sequence of names."""
    return {k: v for k, v in ALL.items() if k in names}  # type: ignore[operator]
