"""How far a making is and how long it still takes, as a whole, from what stages took before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from img2mesh.web.items import Version

#: Seconds a stage took on two cores, preset ``default``: only their shares count, and only until
#: this server has made something itself.
USUAL = {
    "cutout": 3.0, "views": 9.0, "depths": 0.1, "refined": 0.1, "registered": 0.1,
    "radiance": 20.0, "surface": 3.0, "asset": 8.0, "game": 0.1, "quality": 5.0, "files": 0.5,
}  # fmt: skip
_MOMENT = 0.05  # seconds that a stage from the cache takes at most


def learned_from(expected: Mapping[str, float], made: Version) -> dict[str, float]:
    """What stages are expected to take after a version that is done; the cache's say nothing."""
    cached = made.result.get("cached", {})
    took = {
        stage: max(seconds, _MOMENT)
        for stage, seconds in made.seconds.items()
        if not cached.get(stage)
    }
    return {**expected, **took}


def overall(
    version: Version, stages: Iterable[str], expected: Mapping[str, float], now: float
) -> tuple[float, float]:
    """(fraction of the whole that is done, seconds left).

    A stage that is over counts what it was expected to take, so the bar never goes back.
    """
    if not version.stage:
        left = sum(expected.get(stage, 1.0) for stage in stages)
        return 0.0, left
    done = left = 0.0
    passed = True
    for stage in stages:
        usual = expected.get(stage, 1.0)
        if stage == version.stage:
            passed = False
            done += usual * version.fraction
            left += _left(version, usual, now - version.since)
        elif passed:
            done += usual
        else:
            left += usual
    rest = sum(expected.get(stage, 1.0) for stage in stages) - done
    whole = done + rest
    return (min(done / whole, 1.0) if whole else 0.0), left


def _left(version: Version, usual: float, elapsed: float) -> float:
    """Of the stage that is running: by its own pace once that says something."""
    if version.fraction >= 0.1 and elapsed >= 1:
        return elapsed * (1 - version.fraction) / version.fraction
    return max(usual - elapsed, usual * 0.1)
