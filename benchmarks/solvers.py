"""How many steps does a solver need? Measured on a denoiser that is exact: a Gaussian mixture's.

Under the noise process of Zero123++ (linear betas, trailing timesteps) the ideal denoiser of a
mixture of Gaussians is a formula, so that nothing but the solver is measured: samples are drawn in
more and more steps and held against the mixture by the sliced 1-Wasserstein distance, beside that
of as many true samples. Guidance is the formula's as well: towards one component, by the scale 4,
held against 300 steps.

    python benchmarks/solvers.py                       # prints, writes docs/images/solvers.svg
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from img2mesh.diffusion import samplers
from img2mesh.diffusion.schedules import TrainingSchedule, sampling_schedule
from img2mesh.diffusion.speed import SPEEDS, Solver

STEPS = (8, 12, 16, 20, 28, 40, 75)
SOLVERS: tuple[Solver, ...] = ("euler_ancestral", "dpm++2m")


@dataclass(frozen=True)
class Mixture:
    """Components of equal weight, about as spread as latents: unit variance in all.

    Attributes:
        means: (k, d).
        spread: (k, d) standard deviations along the axes.
    """

    means: torch.Tensor
    spread: torch.Tensor

    @classmethod
    def random(cls, components: int, dimensions: int, seed: int) -> Mixture:
        """Clusters a tenth as wide as they are apart, longer along some axes than along others."""
        noise = torch.Generator().manual_seed(seed)
        means = torch.randn(components, dimensions, generator=noise, dtype=torch.float64)
        spread = 0.02 + 0.2 * torch.rand(means.shape, generator=noise, dtype=torch.float64)
        scale = (means.var(0, unbiased=False) + spread.square().mean(0)).sqrt()
        return cls((means - means.mean(0)) / scale, spread / scale)

    def samples(self, count: int, seed: int) -> torch.Tensor:
        """(count, d) true samples."""
        noise = torch.Generator().manual_seed(seed)
        which = torch.randint(len(self.means), (count,), generator=noise)
        standard = torch.randn(count, self.means.shape[1], generator=noise, dtype=torch.float64)
        return self.means[which] + self.spread[which] * standard

    def clean(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """(n, d): E[x0 | x0 + sigma noise = x]."""
        variance = self.spread.square() + sigma**2
        off = x[:, None] - self.means
        logits = -0.5 * (off.square() / variance + variance.log()).sum(-1)
        share = torch.softmax(logits, dim=1)
        expected = self.means + self.spread.square() / variance * off
        return (share[..., None] * expected).sum(1)

    def guided(self, x: torch.Tensor, sigma: float, scale: float) -> torch.Tensor:
        """The same, guided towards the first component."""
        alone = Mixture(self.means[:1], self.spread[:1]).clean(x, sigma)
        anyhow = self.clean(x, sigma)
        return anyhow + scale * (alone - anyhow)


def draw(
    mixture: Mixture, solver: Solver, steps: int, count: int, *, seed: int, guidance: float = 0.0
) -> torch.Tensor:
    """(count, d) samples by a solver in so many steps."""
    noise = torch.Generator().manual_seed(seed)
    shape = (count, mixture.means.shape[1])
    schedule = sampling_schedule(steps, TrainingSchedule())
    levels = schedule.sigmas.double().tolist()
    x = torch.randn(shape, generator=noise, dtype=torch.float64) * levels[0]
    before: tuple[torch.Tensor, float] | None = None
    for sigma, following in pairwise(levels):
        clean = mixture.guided(x, sigma, guidance) if guidance else mixture.clean(x, sigma)
        if solver == "dpm++2m":
            x = samplers.multistep_step(x, clean, before, sigma, following)
            before = clean, sigma
            continue
        fresh = torch.randn(shape, generator=noise, dtype=torch.float64)
        ends = (torch.tensor(s, dtype=torch.float64) for s in (sigma, following))
        x = samplers.euler_ancestral_step(x, clean, fresh, *ends)
    return x


def distance(drawn: torch.Tensor, true: torch.Tensor, *, directions: int = 32) -> float:
    """Sliced 1-Wasserstein distance of two sets of samples, as many of the second or a multiple."""
    noise = torch.Generator().manual_seed(9)
    ways = torch.randn(drawn.shape[1], directions, generator=noise, dtype=torch.float64)
    ways = ways / ways.norm(dim=0)
    ours, theirs = ((s @ ways).sort(0).values for s in (drawn, true))
    every = len(true) // len(drawn)
    return float((ours - theirs.reshape(len(drawn), every, -1).mean(1)).abs().mean())


def measure(count: int, *, seeds: int) -> dict[str, Any]:
    """Errors of every solver at every number of steps, means over mixtures."""
    mixtures = [Mixture.random(6, 8, seed) for seed in range(seeds)]
    truth = {
        "unguided": [m.samples(8 * count, 2) for m in mixtures],
        "guided": [draw(m, "dpm++2m", 300, 4 * count, seed=3, guidance=4.0) for m in mixtures],
    }
    off = [
        distance(m.samples(count, 1), t) for m, t in zip(mixtures, truth["unguided"], strict=True)
    ]
    result: dict[str, Any] = {"steps": STEPS, "floor": float(np.mean(off))}
    for kind, guidance in (("unguided", 0.0), ("guided", 4.0)):
        result[kind] = {name: [] for name in SOLVERS}
        for solver in SOLVERS:
            for steps in STEPS:
                off = [
                    distance(draw(m, solver, steps, count, seed=5, guidance=guidance), t)
                    for m, t in zip(mixtures, truth[kind], strict=True)
                ]
                result[kind][solver].append(round(float(np.mean(off)), 5))
    return result


def plot(result: dict[str, Any], path: Path) -> None:
    """Errors against steps, both logarithmic, in the two panels of one SVG."""
    width, height, left, top = 300, 200, 60, 30
    low, high = math.log(min(result["floor"], *_all(result)) * 0.8), math.log(max(_all(result)))

    def x(steps: float) -> float:
        return width * math.log(steps / STEPS[0]) / math.log(STEPS[-1] / STEPS[0])

    def y(error: float) -> float:
        return height * (1 - (math.log(error) - low) / (high - low))

    parts = []
    for panel, kind in enumerate(("unguided", "guided")):
        inside = [f'<rect width="{width}" height="{height}" fill="none" stroke="#888"/>']
        floor = y(result["floor"])
        inside.append(
            f'<path d="M0 {floor:.1f}H{width}" stroke="#888" stroke-dasharray="2 3"/>'
            f'<text x="0" y="-8">{kind}</text>'
        )
        inside += [f'<text x="{x(n):.1f}" y="{height + 16}" {_MIDDLE}>{n}</text>' for n in STEPS]
        ticks = [t for t in _TICKS if low < math.log(t) < high and panel == 0]
        inside += [f'<text x="-6" y="{y(t) + 4:.1f}" {_END}>{t:g}</text>' for t in ticks]
        for row, (solver, colour) in enumerate(zip(SOLVERS, ("#c33", "#36c"), strict=True)):
            line = " ".join(
                f"{x(s):.1f},{y(e):.1f}" for s, e in zip(STEPS, result[kind][solver], strict=True)
            )
            inside.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
                f'<text x="{width - 8}" y="{18 + 16 * row}" fill="{colour}" {_END}>{solver}</text>'
            )
        parts.append(
            f'<g transform="translate({left + panel * (width + 20)} {top})">{"".join(inside)}</g>'
        )
    size = f'width="{left + 2 * width + 40}" height="{top + height + 30}"'
    style = 'font-family="sans-serif" font-size="11"'
    path.parent.mkdir(parents=True, exist_ok=True)
    page = '<rect width="100%" height="100%" fill="#fff"/>' + "".join(parts)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{page}</svg>\n'
    path.write_text(svg, encoding="utf-8")


_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_MIDDLE, _END = 'text-anchor="middle"', 'text-anchor="end"'


def _all(result: dict[str, Any]) -> list[float]:
    return [e for kind in ("unguided", "guided") for line in result[kind].values() for e in line]


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--plot", type=Path, default=Path("docs/images/solvers.svg"))
    args = parser.parse_args()
    torch.set_num_threads(1)  # the tensors are small
    result = measure(args.count, seeds=args.seeds)
    print(json.dumps(result, indent=1))
    plot(result, args.plot)
    print("speeds:", {name: speed.steps for name, speed in SPEEDS.items()})


if __name__ == "__main__":
    main()
