"""Fine-tunes MobileNetV2 on the Grocery Store Dataset, 81 products, on a plain CPU in a few minutes.

    python examples/train_grocery.py --width 1.0 --data ../shared/data --out out/grocery-1.0.safetensors

`--data` holds `grocery/` (github.com/marcusklasson/GroceryStoreDataset) and `models/` with ImageNet weights in
torchvision's names. The pictures pass through `edgekit.preprocess`, so that training, calibration, evaluation and the
camera agree to the pixel; only the random crops are cut here, before it.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save_file

from edgekit.contract import InputSpec
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.preprocess import preprocess

WEIGHTS = {1.0: "mobilenet_v2_1.0_imagenet.pt", 0.35: "mobilenet_v2_0.35_96_backbone.pt"}
CLASSES, BATCH = 81, 32
EMA = 0.98  # the average reaches back 50 steps, less than an epoch


def main() -> None:
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    # The weights were trained on RGB pixels / 127.5 - 1.
    spec = InputSpec(args.size, args.size, fit="stretch", scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    sets = {name: read(args.data / "grocery", name) for name in ("train", "val", "test")}
    model = pretrained(args.width, args.data / "models" / WEIGHTS[args.width])
    averaged = train(model, sets["train"], sets["val"], spec, args.epochs, args.rate, rng)
    print(f"test top-1 {accuracy(averaged, sets['test'], spec):.4f}  ({len(sets['test'])} pictures)")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in averaged.state_dict().items()}, args.out)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, choices=tuple(WEIGHTS), default=1.0)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.02, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


Example = tuple[np.ndarray, int]


def read(folder: Path, name: str) -> list[Example]:
    """The pictures of `<name>.txt`, decoded, with their fine labels."""
    lines = [line.split(",") for line in (folder / f"{name}.txt").read_text().splitlines()]
    return [(cv2.imread(str(folder / path)), int(fine)) for path, fine, _ in track(lines, f"reading {name}")]


def pretrained(width: float, weights: Path) -> torch.nn.Module:
    """MobileNetV2 with the given backbone and a new last layer."""
    model = import_torchvision().models.mobilenet_v2(num_classes=CLASSES, width_mult=width)
    state = torch.load(weights, weights_only=True)
    missing, _ = model.load_state_dict({k: v for k, v in state.items() if k.startswith("features.")}, strict=False)
    assert all(key.startswith("classifier.") for key in missing), missing
    return model.to(memory_format=torch.channels_last)


def train(
    model: torch.nn.Module,
    examples: list[Example],
    held_out: list[Example],
    spec: InputSpec,
    epochs: int,
    rate: float,
    rng: np.random.Generator,
) -> torch.nn.Module:
    """SGD with a short warm-up and a cosine decay; returns the moving average of the weights, which is what to keep."""
    averaged = copy.deepcopy(model).requires_grad_(False)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 4e-4}, {"params": plain}], rate, 0.9, nesterov=True
    )
    per_epoch = len(examples) // BATCH
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: pace(step, per_epoch, epochs * per_epoch))
    for epoch in range(epochs):
        began, losses = time.monotonic(), []
        model.train()
        for pictures, labels in track(batches(examples, spec, rng), f"epoch {epoch + 1}", per_epoch, transient=True):
            loss = F.cross_entropy(model(pictures), labels, label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            follow(averaged, model)
            losses.append(loss.item())
        spent = time.monotonic() - began
        top1 = accuracy(averaged, held_out, spec)
        print(
            f"epoch {epoch + 1:2}/{epochs}  loss {np.mean(losses):.3f}  val top-1 {top1:.3f}  {spent:.0f} s", flush=True
        )
    return averaged


def pace(step: int, warm_up: int, total: int) -> float:
    """The learning rate as a part of its peak."""
    return min((step + 1) / warm_up, 0.5 + 0.5 * math.cos(math.pi * step / total))


def follow(averaged: torch.nn.Module, model: torch.nn.Module) -> None:
    for mean, now in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
        mean.lerp_(now, 1 - EMA) if mean.is_floating_point() else mean.copy_(now)


def batches(
    examples: list[Example], spec: InputSpec, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = rng.permutation(len(examples))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        some = [examples[i] for i in order[start : start + BATCH]]
        tensors = [preprocess(varied(image, rng), spec)[0] for image, _ in some]
        yield torch.from_numpy(np.concatenate(tensors)), torch.tensor([label for _, label in some])


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random part of the picture, perhaps mirrored, its brightness and the strength of its channels changed."""
    height, width = image.shape[:2]
    area, aspect = rng.uniform(0.3, 1.0), math.exp(rng.uniform(-0.3, 0.3))
    w, h = min(width, round(width * math.sqrt(area * aspect))), min(height, round(height * math.sqrt(area / aspect)))
    x, y = rng.integers(width - w + 1), rng.integers(height - h + 1)
    part = image[y : y + h, x : x + w]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    gains = rng.uniform(0.7, 1.3) * rng.uniform(0.92, 1.08, 3)
    return cv2.LUT(np.ascontiguousarray(part), np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)[None])


@torch.inference_mode()
def accuracy(model: torch.nn.Module, examples: list[Example], spec: InputSpec) -> float:
    """Top-1 on whole pictures, without any variation."""
    model.eval()
    right = 0
    for start in range(0, len(examples), 64):
        some = examples[start : start + 64]
        tensors = np.concatenate([preprocess(image, spec)[0] for image, _ in some])
        best = model(torch.from_numpy(tensors)).argmax(1).tolist()
        right += sum(guess == label for guess, (_, label) in zip(best, some, strict=True))
    return right / len(examples)


if __name__ == "__main__":
    main()
