"""Recipe → key: canonical JSON under blake2b-128, all known before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Bump only when the recipe below changes its form: every cache in the world then starts afresh.
ENGINE = 1


def canonical(value: Any) -> bytes:
    """JSON with one spelling per value: sorted keys, no blanks, ASCII, finite numbers only.

    Raises:
        ValueError: on NaN and infinity.
        TypeError: on anything JSON has no word for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def fingerprint(value: Any) -> str:
    """blake2b-128 of the canonical JSON, 32 hex digits."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def stage_key(
    stage: str,
    version: int,
    settings: Mapping[str, Any],
    identity: Mapping[str, str],
    inputs: Mapping[str, str],
) -> str:
    """The key of a stage's result.

    Args:
        stage: its name.
        version: its version.
        settings: every setting, resolved and normalised to its annotation.
        identity: what the backend says it is (a checkpoint and its hash, say).
        inputs: per input the key of the stage that makes it, or ``leaf:`` and a leaf's digest.
    """
    recipe = {"engine": ENGINE, "stage": stage, "version": version, "settings": dict(settings)}
    return fingerprint(recipe | {"identity": dict(identity), "inputs": dict(inputs)})
