"""Linear against scaled-linear betas: tables, a plot, swapped schedules, and the LoRA toy task.

    python benchmarks/noise_schedule.py --out DIR [--train STEPS] [--seeds N]

Three parts, from exact to small:

1. *Closed forms.* Signal-to-noise ratios at some steps and the share of steps below some ratios,
   for both curves between the same ends (.00085 and .012); `snr.svg` plots them.
2. *Swapped schedules, exactly.* The best denoiser of Gaussian data is known in closed form. It is
   asked for v, noise or the clean picture as if trained on one schedule, and sampled by DDIM on the
   other. Every step is affine, so that mean and spread of what comes out are exact.
3. *Tiny networks* (`--train`), over several seeds, printed as it comes out. A U-Net learns
   patterned latents of any brightness on each schedule, asked for v, noise or the clean picture.
   It is sampled on both schedules: how far are mean and spread from the data's? Then the toy task
   of the Zero123++ paper: adapters alone are to make the network that says v draw blank white; how
   far from white is the mean of its samples, before and after?
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from img2mesh.diffusion.schedules import TrainingSchedule, timesteps
from img2mesh.training.diffusion import lora, objective

LINEAR = TrainingSchedule()
SCALED = replace(LINEAR, beta_schedule="scaled_linear")
CURVES = {"linear": LINEAR, "scaled-linear": SCALED}
KINDS = ("v", "epsilon", "clean")
STEPS = (0, 250, 500, 750, 900, 999)
BELOW = (1.0, 0.1, 0.01)
#: Data of the exact part: mean and spread of a latent value.
MEAN, SPREAD = 1.0, 0.3


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--train", type=int, default=0, help="steps of a network; 0 leaves them out"
    )
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"snr": snr_table(), "swapped": swapped()}
    (options.out / "snr.svg").write_text(plot())
    if options.train:
        results["networks"] = networks(options.train, options.seeds)
    (options.out / "results.json").write_text(json.dumps(results, indent=1))
    print(tables(results))


def snr(schedule: TrainingSchedule) -> NDArray[np.float64]:
    """(1000,) abar / (1 - abar)."""
    abar = schedule.alphas_cumprod().double().numpy()
    ratio: NDArray[np.float64] = abar / (1 - abar)
    return ratio


def snr_table() -> dict[str, Any]:
    """Ratios at STEPS, and shares of steps below BELOW, of both curves."""
    return {
        name: {
            "at": {str(t): float(snr(one)[t]) for t in STEPS},
            "share_below": {str(b): float((snr(one) < b).mean()) for b in BELOW},
            "last_sigma": float(snr(one)[-1] ** -0.5),
        }
        for name, one in CURVES.items()
    }


def swapped(steps: int = 50) -> dict[str, Any]:
    """Mean and spread of DDIM samples: trained on one curve (row), sampled on a curve, per kind."""
    out: dict[str, Any] = {}
    for kind in KINDS:
        for trained, at in (
            ("linear", "linear"),
            ("linear", "scaled-linear"),
            ("scaled-linear", "scaled-linear"),
            ("scaled-linear", "linear"),
        ):
            mean, spread = gaussian_ddim(CURVES[trained], CURVES[at], kind, steps)
            out[f"{kind}: {trained} -> {at}"] = {"mean": mean, "spread": spread}
    return out


def gaussian_ddim(
    trained: TrainingSchedule, sampled: TrainingSchedule, kind: str, steps: int
) -> tuple[float, float]:
    """Mean and spread of samples of the ideal denoiser of N(MEAN, SPREAD^2), exactly.

    With a = sqrt(abar) and s = sqrt(1 - abar) of the *trained* curve, the posterior mean of the
    clean value given x is ``MEAN + a SPREAD^2 (x - a MEAN) / (a^2 SPREAD^2 + s^2)``; noise and v
    follow from it with the trained a and s. The sampler reads the output with its own.
    """
    theirs, ours = (x.alphas_cumprod().double().numpy() for x in (trained, sampled))
    visited = timesteps(steps, sampled, "trailing").astype(int)
    mean, spread = 0.0, 1.0  # of the first latents
    for number, t in enumerate(visited):
        a, s = theirs[t] ** 0.5, (1 - theirs[t]) ** 0.5
        slope = a * SPREAD**2 / (a**2 * SPREAD**2 + s**2)
        clean = np.array([slope, MEAN * (1 - a * slope)])  # times x, plus
        noise = np.array([1.0, 0.0]) / s - clean * a / s
        b, c = ours[t] ** 0.5, (1 - ours[t]) ** 0.5
        if kind == "v":
            v = a * noise - s * clean
            clean, noise = np.array([b, 0]) - c * v, np.array([c, 0]) + b * v
        elif kind == "epsilon":
            clean = (np.array([1.0, 0]) - c * noise) / b
        else:
            noise = (np.array([1.0, 0]) - b * clean) / c
        after = ours[visited[number + 1]] if number + 1 < steps else 1.0
        step = after**0.5 * clean + (1 - after) ** 0.5 * noise
        mean, spread = step[0] * mean + step[1], abs(step[0]) * spread
    return float(mean), float(spread)


def networks(steps: int, seeds: int) -> dict[str, list[float]]:
    """Figures of tiny networks by what was done, a value a seed."""
    found: dict[str, list[float]] = {}

    def tell(what: str, value: torch.Tensor | float) -> None:
        found.setdefault(what, []).append(float(value))
        print(what, found[what][-1], flush=True)

    torch.manual_seed(0)
    truth = patterns(4096)
    for seed in range(seeds):
        for name, schedule in CURVES.items():
            for kind in KINDS:
                torch.manual_seed(seed)
                net = tiny_unet()
                fit(net, schedule, patterns, steps, 2e-3, kind)
                for other, at in CURVES.items():
                    drawn = draw(net, at, kind)
                    tell(f"{kind}: {name} -> {other}: mean off by", drawn.mean() - truth.mean())
                    tell(f"{kind}: {name} -> {other}: spread times", drawn.std() / truth.std())
                if kind == "v":
                    tell(f"white: {name} before", (1 - draw(net, schedule).mean()).abs())
                    net.requires_grad_(False)
                    lora.install(net, 4)
                    fit(net, schedule, white, steps // 2, 2e-3)
                    tell(f"white: {name} after", (1 - draw(net, schedule).mean()).abs())
    return found


def tiny_unet() -> Any:
    """A conditional U-Net of a few channels for (4, 8, 8) latents."""
    from diffusers import UNet2DConditionModel as Model

    make: Any = Model
    return make(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), attention_head_dim=2,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=8,
    )  # fmt: skip


def patterns(count: int) -> torch.Tensor:
    """(count, 4, 8, 8) blobs over a brightness of their own, mostly dark."""
    coarse = torch.randn(count, 4, 4, 4)
    smooth = torch.nn.functional.interpolate(coarse, size=8, mode="bilinear")
    return 0.4 * smooth - 0.6 + 0.3 * torch.randn(count, 1, 1, 1)


def white(count: int) -> torch.Tensor:
    """Blank white: 1 everywhere."""
    return torch.ones(count, 4, 8, 8)


def fit(
    net: Any, schedule: TrainingSchedule, data: Any, steps: int, rate: float, kind: str = "v"
) -> None:
    """Teach a kind of answer on data, whatever of the network has gradients."""
    abar = schedule.alphas_cumprod()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=rate)
    prompt = torch.zeros(32, 1, 8)
    for _ in range(steps):
        clean = data(32)
        noise, t = torch.randn_like(clean), torch.randint(1000, (32,))
        said = net(objective.noised(clean, noise, abar[t]), t, prompt).sample
        v = objective.target(clean, noise, abar[t], "v_prediction")
        wanted = {"v": v, "epsilon": noise, "clean": clean}[kind]
        loss = (said - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def draw(
    net: Any, schedule: TrainingSchedule, kind: str = "v", count: int = 64, steps: int = 30
) -> torch.Tensor:
    """DDIM samples (count, 4, 8, 8)."""
    abar = schedule.alphas_cumprod()
    x = torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    visited = torch.from_numpy(timesteps(steps, schedule, "trailing").astype(int))
    for number, t in enumerate(visited):
        a, s = abar[t].sqrt(), (1 - abar[t]).sqrt()
        said = net(x, t, torch.zeros(count, 1, 8)).sample
        match kind:
            case "v":
                clean, noise = a * x - s * said, s * x + a * said
            case "epsilon":
                clean, noise = (x - s * said) / a, said
            case _:
                clean, noise = said, (x - a * said) / s
        after = abar[visited[number + 1]] if number + 1 < steps else torch.tensor(1.0)
        x = after.sqrt() * clean + (1 - after).sqrt() * noise
    return x


def plot() -> str:
    """An SVG of log10 SNR over the step."""
    width, height, colours = 480, 300, {"linear": "#c33", "scaled-linear": "#36c"}
    lines = []
    for number, (name, one) in enumerate(CURVES.items()):
        value = np.log10(snr(one))
        x, y = np.linspace(40, width - 10, 1000), 20 + (3.1 - value) / 6 * (height - 50)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[::10], y[::10], strict=True))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colours[name]}"/>')
        lines.append(
            f'<text x="60" y="{height - 60 + 16 * number}" fill="{colours[name]}">{name}</text>'
        )
    for level in range(-2, 4):
        y = 20 + (3.1 - level) / 6 * (height - 50)
        lines.append(f'<text x="2" y="{y:.0f}">1e{level}</text>')
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11">\n{body}\n</svg>\n'
    )


def tables(results: dict[str, Any]) -> str:
    """Everything as Markdown."""
    table = results["snr"]
    lines = ["| SNR at step | " + " | ".join(table) + " |", "| --- | ---: | ---: |"]
    for t in STEPS:
        cells = " | ".join(f"{r['at'][str(t)]:.4g}" for r in table.values())
        lines += [f"| {t} | {cells} |"]
    for b in BELOW:
        cells = " | ".join(f"{r['share_below'][str(b)]:.1%}" for r in table.values())
        lines.append(f"| share of steps below {b:g} | {cells} |")
    lines += [
        "",
        f"| data: mean {MEAN:g}, spread {SPREAD:g} | mean | spread |",
        "| --- | ---: | ---: |",
    ]
    for name, r in results["swapped"].items():
        lines.append(f"| {name} | {r['mean']:.3f} | {r['spread']:.3f} |")
    for name, values in results.get("networks", {}).items():
        lines.append(f"networks, {name} {np.round(values, 3).tolist()}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
