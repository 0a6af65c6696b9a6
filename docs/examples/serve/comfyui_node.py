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


def png_of(pixels):
    """A ComfyUI image (h, w, 3) or mask (h, w), values in [0, 1], as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray((np.clip(np.asarray(pixels), 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


class PhotoToMesh:
    """Make a textured mesh of the first image of a batch."""

    CATEGORY, FUNCTION, OUTPUT_NODE = "3d", "make", True
    RETURN_TYPES, RETURN_NAMES = ("STRING",), ("model_file",)

    @classmethod
    def INPUT_TYPES(cls):
        required = {
            "image": ("IMAGE",),
            "server": ("STRING", {"default": "http://127.0.0.1:7860"}),
            "faces": ("INT", {"default": 20000, "min": 500, "max": 500000}),
            "seed": ("INT", {"default": 42, "min": 0, "max": 2**32 - 1}),
        }
        optional = {"mask": ("MASK",), "token": ("STRING", {"default": ""})}
        return {"required": required, "optional": optional}

    def make(self, image, server, faces, seed, mask=None, token=""):
        settings = json.dumps({"surface.target_faces": faces, "views.seed": seed}).encode()
        parts = {
            'name="settings"': settings,
            'name="photo"; filename="comfyui.png"': png_of(image[0]),
        }
        if mask is not None:
            parts['name="mask"; filename="mask.png"'] = png_of(mask[0])
        border, body = uuid.uuid4().hex, b""
        for name, value in parts.items():
            head = f"--{border}\r\nContent-Disposition: form-data; {name}\r\n\r\n"
            body += head.encode() + value + b"\r\n"
        body += f"--{border}--\r\n".encode()
        kind = f"multipart/form-data; boundary={border}"
        headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
        address = f"{server.rstrip('/')}/api/v1/mesh?timeout=1800"
        try:
            request = urllib.request.Request(address, body, headers)
            made = urllib.request.urlopen(request, timeout=1900).read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode("utf-8", "replace")[:500]) from error
        name = f"img2mesh_{uuid.uuid4().hex[:8]}.glb"
        Path(folder_paths.get_output_directory(), name).write_bytes(made)
        return (name,)


NODE_CLASS_MAPPINGS = {"img2mesh PhotoToMesh": PhotoToMesh}
NODE_DISPLAY_NAME_MAPPINGS = {"img2mesh PhotoToMesh": "Photo to mesh (img2mesh)"}
