"""The Khronos glTF validator, a Node.js package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

_SCRIPT = """
const validator = require('gltf-validator');
const chunks = [];
process.stdin.on('data', c => chunks.push(c)).on('end', () =>
  validator.validateBytes(new Uint8Array(Buffer.concat(chunks)), {maxIssues: 20})
    .then(report => console.log(JSON.stringify(report))));
"""


def node_modules() -> Path | None:
    """Where the validator is installed for this checkout; None without it or without Node.js."""
    root = Path(__file__).parent.parent
    folder = Path(os.environ.get("IMG2MESH_NODE_MODULES", root / "node_modules"))
    return folder if shutil.which("node") and (folder / "gltf-validator").is_dir() else None


def validate(glb: bytes, modules: Path) -> dict[str, Any]:
    """The validator's report on a GLB file."""
    answer = subprocess.run(
        ["node", "-e", _SCRIPT],
        input=glb,
        capture_output=True,
        check=True,
        env={**os.environ, "NODE_PATH": str(modules)},
    )
    report: dict[str, Any] = json.loads(answer.stdout)
    return report
