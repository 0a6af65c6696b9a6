"""A node for ComfyUI: image (and mask) to a GLB file. Needs ``img2mesh serve``.

Copy this file into ``ComfyUI/custom_nodes``; the path that comes out goes into Load 3D or Preview
3D. Nothing is imported that ComfyUI does not bring.
"""

import io
import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import folder_paths
import numpy as np
from PIL import Image


def png_of(pixels) -> bytes:
    """A ComfyUI image (h, w, 3) or mask (h, w), values in [0, 1], as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray((np.clip(np.asarray(pixels), 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def form_of(parts: dict) -> tuple[bytes, str]:
    """Texts and PNG files as multipart/form-data, and its content type."""
    border, body = uuid.uuid4().hex, b""
    for name, value in parts.items():
        is_file = isinstance(value, bytes)
        head = f'Content-Disposition: form-data; name="{name}"'
        head += f'; filename="{name}.png"\r\nContent-Type: image/png' if is_file else ""
        content = value if is_file else str(value).encode()
        body += f"--{border}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{border}--\r\n".encode(), f"multipart/form-data; boundary={border}"


class PhotoToMesh:
    """Make a textured mesh of the first image of a batch."""

    CATEGORY, FUNCTION, OUTPUT_NODE = "3d", "make", True
    RETURN_TYPES, RETURN_NAMES = ("STRING",), ("model_file",)

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "image": ("IMAGE",),
                "server": ("STRING", {"default": "http://127.0.0.1:7860"}),
                "faces": ("INT", {"default": 20000, "min": 500, "max": 500000}),
                "seed": ("INT", {"default": 42, "min": 0, "max": 2**32 - 1}),
            },
            "optional": {"mask": ("MASK",), "token": ("STRING", {"default": ""})},
        }

    def make(self, image, server, faces, seed, mask=None, token=""):
        settings = {"surface.target_faces": faces, "views.seed": seed}
        parts = {"name": "comfyui.png", "settings": json.dumps(settings), "photo": png_of(image[0])}
        if mask is not None:
            parts["mask"] = png_of(mask[0])
        body, kind = form_of(parts)
        address = f"{server.rstrip('/')}/api/v1/mesh?timeout=1800"
        request = urllib.request.Request(address, body, {"Content-Type": kind})
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=1900) as answer:
                made = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode("utf-8", "replace")[:500]) from error
        name = f"img2mesh_{uuid.uuid4().hex[:8]}.glb"
        Path(folder_paths.get_output_directory(), name).write_bytes(made)
        return (name,)


NODE_CLASS_MAPPINGS = {"img2mesh PhotoToMesh": PhotoToMesh}
NODE_DISPLAY_NAME_MAPPINGS = {"img2mesh PhotoToMesh": "Photo to mesh (img2mesh)"}
