"""The published repositories without their weights, and a hub that serves them.

What is published about them are facts: names of files, old spellings of tensors, what the
configurations of the programs that saved them said. The networks are narrow, so that everything is
a few megabytes; ``tests.models.tiny.PUBLISHED`` gives every tensor its published name.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from safetensors.torch import load_file, save

Files = dict[str, bytes]

#: First ramping coefficients, by which checkpoints are recognised.
_RAMPING = {
    "v1.1": [0.0, 0.20600578, 0.18684480, 0.24342191],
    "v1.2": [0.00301829, 0.22046332, 0.21527842, 0.23498540],
}
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def repositories(tiny: Path) -> dict[str, Files]:
    """What each repository holds, from a checkpoint of the shape ``PUBLISHED`` with ControlNets."""
    controlnet = _read(tiny / "controlnet")
    state = load_file(tiny / "controlnet" / "diffusion_pytorch_model.safetensors")
    unet = load_file(tiny / "unet" / "diffusion_pytorch_model.safetensors")
    white = {f"unet.{k}": v + 0.01 for k, v in unet.items()}  # as a trainer around it saves
    return {
        "sudo-ai/zero123plus-v1.1": _v11(_read(tiny)),
        "sudo-ai/zero123plus-v1.2": _v12(_read(tiny)),
        "sudo-ai/controlnet-zp11-depth-v1": {
            "config.json": _said(controlnet["config.json"], _diffusers_version="0.17.1"),
            "diffusion_pytorch_model.bin": _torch_file(_half(state)),
            "README.md": b"no",
        },
        "sudo-ai/controlnet-zp12-normal-gen-v1": {**controlnet, "README.md": b"no"},
        "TencentARC/InstantMesh": {
            "diffusion_pytorch_model.bin": _torch_file({"state_dict": white}),
            "instant_mesh_large.ckpt": b"no",
        },
    }


def _v11(files: Files) -> Files:
    """Saved by diffusers 0.17 and a transformers of its time, everything in half precision."""
    out = {k: v for k, v in files.items() if not k.startswith("controlnet")}
    for part in ("unet", "vae"):
        state = _half(_tensors(out.pop(f"{part}/diffusion_pytorch_model.safetensors")))
        if part == "vae":  # the spelling before diffusers 0.18, projections as 1x1 convolutions
            for new, old in _OLD_ATTENTION.items():
                state = {k.replace(f".{new}.", f".{old}."): v for k, v in state.items()}
            olds = tuple(f".{old}.weight" for old in _OLD_ATTENTION.values())
            state = {k: v[:, :, None, None] if k.endswith(olds) else v for k, v in state.items()}
        out[f"{part}/diffusion_pytorch_model.bin"] = _torch_file(state)
    for part, root in (("text_encoder", "text_model"), ("vision_encoder", "vision_model")):
        state = _half(_tensors(out.pop(f"{part}/model.safetensors")))
        count = next(v for k, v in state.items() if k.endswith("position_embedding.weight"))
        state[f"{root}.embeddings.position_ids"] = torch.arange(len(count))[None]
        out[f"{part}/pytorch_model.bin"] = _torch_file(state)
        out[f"{part}/config.json"] = _said(
            out[f"{part}/config.json"], torch_dtype="float16", transformers_version="4.29.2"
        )
    for part in ("unet", "vae"):
        config = {"_diffusers_version": "0.17.1", "_name_or_path": "."}
        out[f"{part}/config.json"] = _said(out[f"{part}/config.json"], **config)
    out["vae/config.json"] = _without(
        out["vae/config.json"], "force_upcast", "mid_block_add_attention", "shift_factor",
        "latents_mean", "latents_std", "use_quant_conv", "use_post_quant_conv",
    )  # fmt: skip
    out["unet/config.json"] = _said(out["unet/config.json"], upcast_attention=True)
    out["unet/config.json"] = _without(
        out["unet/config.json"], "attention_type", "dropout", "reverse_transformer_layers_per_block"
    )
    scheduler = "scheduler/scheduler_config.json"
    out[scheduler] = _without(out[scheduler], "timestep_spacing")
    # Only the map says how to pad; the other file kept what the first tokenizer was made with.
    tokenizer = "tokenizer/tokenizer_config.json"
    out[tokenizer] = _said(out[tokenizer], pad_token="<|endoftext|>")
    out["model_index.json"] = _index(out["model_index.json"], "v1.1", "0.17.1")
    return {**out, "inference.py": b"raise SystemExit", "README.md": b"no", ".gitattributes": b""}


def _v12(files: Files) -> Files:
    """Saved by diffusers 0.24: the U-Net in single precision, the rest in half, all safetensors."""
    out = {k: v for k, v in files.items() if not k.startswith("controlnet")}
    for name in [k for k in out if k.endswith(".safetensors") and not k.startswith("unet")]:
        out[name] = save(_half(_tensors(out[name])), {"format": "pt"})
    tokenizer = "tokenizer/tokenizer_config.json"
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    tokens = {"0": "!", "1": "<|startoftext|>", "2": "<|endoftext|>"}
    added = {n: {"content": t, "special": True, **plain} for n, t in tokens.items()}
    out[tokenizer] = _said(out[tokenizer], added_tokens_decoder=added)
    out["model_index.json"] = _index(out["model_index.json"], "v1.2", "0.24.0")
    return {**out, "README.md": b"no"}


def _index(text: bytes, version: str, saved_by: str) -> bytes:
    ramping = json.loads(text)["ramping_coefficients"]
    first = _RAMPING[version]
    return _said(
        text, ramping_coefficients=first + ramping[len(first) :], _diffusers_version=saved_by
    )


def _read(folder: Path) -> Files:
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != "img2mesh.json")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def _tensors(data: bytes) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    return load(data)


def _half(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: v.half() for k, v in state.items()}


def _torch_file(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _said(text: bytes, **more: Any) -> bytes:
    return json.dumps({**json.loads(text), **more}).encode()


def _without(text: bytes, *names: str) -> bytes:
    return json.dumps({k: v for k, v in json.loads(text).items() if k not in names}).encode()


@contextmanager
def serving(repositories: dict[str, Files]) -> Iterator[str]:
    """The address of a local hub: model information, and files by commit with their hashes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/").split("/")
            if path[:2] == ["api", "models"]:
                self._answer(_information("/".join(path[2:4]), repositories), {})
                return
            files, name = repositories.get("/".join(path[:2]), {}), "/".join(path[4:])
            if name not in files:  # the hub's client asks for more than files
                self.send_error(404)
                return
            sha = hashlib.sha256(files[name]).hexdigest()
            commit = _commit("/".join(path[:2]))
            self._answer(files[name], {"ETag": f'"{sha}"', "X-Repo-Commit": commit})

        do_HEAD = do_GET

        def _answer(self, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _commit(repository: str) -> str:
    return hashlib.sha1(repository.encode()).hexdigest()


def _information(repository: str, repositories: dict[str, Files]) -> bytes:
    siblings = []
    for name, data in repositories[repository].items():
        stated: dict[str, Any] = {"rfilename": name, "size": len(data)}
        if name.endswith((".bin", ".safetensors", ".ckpt")):
            stated["lfs"] = {
                "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1
            }  # fmt: skip
        siblings.append(stated)
    whole = {"id": repository, "sha": _commit(repository), "siblings": siblings}
    return json.dumps(whole).encode()
