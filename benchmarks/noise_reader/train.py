"""Train the network that reads noise: ``python -m benchmarks.noise_reader.train PACKED OUT --minutes 8 --device cuda``.

Every step sees images that were never seen; the rate falls with the time that is left. Every minute the mean of the
last weights is written to ``OUT``, so that a run which is cut off leaves one.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.noise_reader.simulate import Batch, Corpus, batch, unpacked
from ruska.networks.noise_reader import NoiseReader, Reading

WINDOWS = {128: 0.15, 192: 0.2, 256: 0.45, 384: 0.2}
_LAG_WEIGHT = 0.5
_MEAN_OF = 0.998  # share of the older weights in the mean of all
_KINDS = ("em", "fluorescence", "made up")


@dataclass(frozen=True)
class Settings:
    """minutes, peak rate, pixels of a batch, seconds between lines and between files."""

    minutes: float
    rate: float = 1.5e-3
    pixels: int = 128 * 256**2
    every: float = 30
    keep: float = 60
    warm: int = 200
    seed: int = 0


def targets(reading: Reading, truth: Batch) -> tuple[Tensor, Tensor]:
    """Logarithm of the standard deviation of the noise in the squares that were taken (b, groups), and of all (b,)."""
    shares = reading.shares.detach() * truth.valid.flatten(1)[:, None]
    few = 0.02
    whole = truth.whole
    group = ((shares * truth.variance.flatten(1)[:, None]).sum(2) + few * whole[:, None]) / (shares.sum(2) + few)
    return 0.5 * torch.log(group.clamp(min=1e-12)), 0.5 * torch.log(whole.clamp(min=1e-12))


def loss(reading: Reading, truth: Batch) -> Tensor:
    """Mean of minus the logarithm of the Laplace density, of all that is told."""
    group, whole = targets(reading, truth)
    parts = (
        (reading.group, group, reading.group_error, 1.0), (reading.whole, whole, reading.whole_error, 1.0),
        (reading.lags, truth.lags, reading.lags_error, _LAG_WEIGHT),
    )  # fmt: skip
    return torch.stack(
        [w * ((said - true).abs() * torch.exp(-error) + error).mean() for said, true, error, w in parts]
    ).sum()


def train(network: NoiseReader, corpus: Corpus, checks: list[Batch], out: Path, settings: Settings) -> None:
    device = corpus.device
    random = torch.Generator(device).manual_seed(settings.seed)
    mean = NoiseReader(network.look.out_channels, network.tell_group.in_features).to(device)
    mean.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-3)
    begun, shown, kept, step, recent = time.monotonic(), -math.inf, 0.0, 0, torch.zeros((), device=device)
    while (passed := (time.monotonic() - begun) / 60 / settings.minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = (
                settings.rate
                * min(1, (step + 1) / settings.warm)
                * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * passed)))
            )
        window = list(WINDOWS)[int(torch.multinomial(torch.tensor(list(WINDOWS.values())), 1))]
        count = max(1, settings.pixels // window**2 // 8) * 8
        found = batch(corpus, count, window, random)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            reading = network(found.y)
        cost = loss(reading, found)
        optimiser.zero_grad(set_to_none=True)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        recent = 0.98 * recent + 0.02 * cost.detach()
        with torch.no_grad():
            share = min(_MEAN_OF, step / (step + 10))
            for old, new in zip(mean.parameters(), network.parameters(), strict=True):
                old.lerp_(new, 1 - share)
        now = time.monotonic() - begun
        if now - shown > settings.every:
            shown = now
            if not math.isfinite(float(recent)):
                raise SystemExit(f"the loss is not finite at step {step}")
            print(f"{now:6.0f} s  step {step}  loss {float(recent):.4f}", *judged(mean, checks), sep="\n", flush=True)
        if now - kept > settings.keep:
            kept = now
            save(mean, out)
    print(f"{step} steps", *judged(mean, checks), sep="\n", flush=True)
    save(mean, out)


def judged(network: NoiseReader, checks: list[Batch]) -> Iterator[str]:
    """How far off the logarithm of the noise is, by kind of image and strength of the noise."""
    rows = list[tuple[Tensor, ...]]()
    with torch.inference_mode():
        for check in checks:
            reading = network(check.y)
            group, whole = targets(reading, check)
            off = reading.whole - whole
            rows.append((check.kind, whole.exp(), off, off.abs() / reading.whole_error.exp(),
                         (reading.group - group).abs().mean(1), (reading.lags - check.lags).abs().mean(1)))  # fmt: skip
    kind, level, off, sure, group, lags = (torch.cat(column).float().cpu() for column in zip(*rows, strict=True))
    for k, name in enumerate(_KINDS):
        for low, high in ((0, 0.04), (0.04, 0.1), (0.1, 9)):
            at = (kind == k) & (level >= low) & (level < high)
            if at.sum() < 5:
                continue
            o = off[at]
            yield (f"   {name:12s} {low:.2f}-{high:.2f} n {int(at.sum()):4d}  off: mean {o.mean():+.3f}, "
                   f"usual {o.abs().mean():.3f}, 90 % {o.abs().quantile(0.9):.3f}, {o.min():+.2f} to {o.max():+.2f}; "
                   f"groups {group[at].mean():.3f}; lags {lags[at].mean():.3f}; "
                   f"off/told error {sure[at].mean():.2f}")  # fmt: skip


def save(network: NoiseReader, out: Path) -> None:
    from safetensors.torch import save_file

    part = out / "noise_reader.safetensors.part"
    save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, part)
    part.replace(out / "noise_reader.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packed", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rate", type=float, default=Settings.rate)
    parser.add_argument("--images", type=int, default=128, help="256 x 256 pixels each, of a batch")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checks", type=int, default=24, help="batches of 32 held-back images")
    parser.add_argument("--every", type=float, default=Settings.every, help="seconds between looks at these")
    parser.add_argument("--warm", type=int, default=Settings.warm, help="steps in which the rate rises")
    parser.add_argument("--start", type=Path)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = True, False  # exact cosines
    torch.backends.cudnn.benchmark = True
    device = torch.device(given.device)
    begun = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    facts, pixels = unpacked(given.packed)
    pixels = pixels.to(device)
    held = Corpus(facts, pixels, held_back=True)
    random = torch.Generator(device).manual_seed(1)
    checks = [batch(held, 32, (192, 256, 384)[k % 3], random, real=k % 6 != 5) for k in range(given.checks)]
    corpus = Corpus(facts, pixels)
    network = NoiseReader(given.width, given.hidden).to(device)
    if given.start is not None:
        from safetensors.torch import load_file

        network.load_state_dict(load_file(given.start, str(device)))
    numbers = sum(p.numel() for p in network.parameters())
    print(f"{len(corpus.planes)} planes, {numbers} weights, ready after {time.monotonic() - begun:.0f} s", flush=True)
    settings = Settings(given.minutes, given.rate, given.images * 256**2, given.every, warm=given.warm, seed=given.seed)
    made = {"width": given.width, "hidden": given.hidden, "minutes": given.minutes, "rate": given.rate,
             "images": given.images, "seed": given.seed, "torch": torch.__version__,
             "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu"}  # fmt: skip
    (given.out / "training.json").write_text(json.dumps(made), encoding="utf-8")
    train(network, corpus, checks, given.out, settings)


if __name__ == "__main__":
    main()
