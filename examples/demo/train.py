"""Trains the demo's detector and classifier on rendered scenes, in about twenty minutes on two cores.

    python examples/demo/train.py           # writes weights/*.safetensors, prints the figures on unseen scenes

Everything passes through `edgekit.preprocess` and the recipes' own input specs, so that training and camera agree to
the pixel.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from data import EVALUATION, TRAINING, crops, render, write_demo_data
from models import ProductClassifier, ProductDetector, build_classifier, build_detector
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from edgekit.contract import DetectionHead, InputSpec
from edgekit.converters.data import open_dataset
from edgekit.converters.evaluate import evaluate_classifier, evaluate_detector, with_candidates
from edgekit.converters.recipe import Recipe, read_recipe
from edgekit.decode import decode_classification, decode_detections
from edgekit.frames import Classification, Detections, Image
from edgekit.preprocess import preprocess

HERE = Path(__file__).parent
MOST_BOXES = 48  # in one picture
CROPS = 1500  # of one product


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    recipes = {name: read_recipe(HERE / f"{name}.toml") for name in ("detector", "classifier")}
    pictures = gather(recipes, args.pictures, args.seed)
    write_demo_data()
    if args.only != "detector":
        torch.manual_seed(args.seed)
        classifier = build_classifier()
        train(classifier, pictures.crop_batch, classifier_loss, args.classifier_steps, 64, 4e-3, args.seed)
        save(classifier, HERE / str(recipes["classifier"].model.weights))
        report_classifier(classifier, recipes["classifier"])
    if args.only != "classifier":
        torch.manual_seed(args.seed)
        detector = build_detector()
        train(detector, pictures.frame_batch, detector_loss, args.detector_steps, 8, 2e-3, args.seed)
        save(detector, HERE / str(recipes["detector"].model.weights))
        report_detector(detector, recipes["detector"])
        report_counts(detector, recipes["detector"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("detector", "classifier"), help="train one of the two")
    parser.add_argument("--pictures", type=int, default=3600, help="rendered for training")
    parser.add_argument("--detector-steps", type=int, default=3000)
    parser.add_argument("--classifier-steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


@dataclass(frozen=True, eq=False)
class Pictures:
    """What is trained on, as raw pixels: frames (n, 3, h, w) with boxes (n, MOST_BOXES, 4) in pixels of the input,
    zeros where there are fewer; crops (m, 3, h, w) with their products (m,)."""

    frames: Tensor
    boxes: Tensor
    crops: Tensor
    products: Tensor

    def frame_batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Some frames, half of them mirrored, under lamps of a random colour."""
        chosen = torch.from_numpy(rng.integers(len(self.frames), size=size))
        images, boxes = relit(self.frames[chosen], rng), self.boxes[chosen].clone()
        mirrored = torch.from_numpy(rng.random(size) < 0.5)
        images[mirrored] = images[mirrored].flip(3)
        there = mirrored[:, None] & (boxes[..., 2] > 0)
        left, top, right, bottom = boxes[there].T
        boxes[there] = torch.stack([images.shape[3] - right, top, images.shape[3] - left, bottom], 1)
        return images, boxes

    def crop_batch(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Some crops under lamps of a random colour. Never mirrored: print has a direction."""
        chosen = torch.from_numpy(rng.integers(len(self.crops), size=size))
        return relit(self.crops[chosen], rng), self.products[chosen]


def relit(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Raw pixels as the model's floats, brightness and colour drawn anew."""
    shape = (len(pixels), 1, 1, 1)
    gain = rng.uniform(0.85, 1.15, shape) * rng.uniform(0.95, 1.05, (len(pixels), 3, 1, 1))
    lift = rng.uniform(-0.04, 0.04, shape)
    return (pixels.float() / 255 * torch.from_numpy(gain).float() + torch.from_numpy(lift).float()).clamp(0, 1)


def gather(recipes: dict[str, Recipe], count: int, seed: int) -> Pictures:
    """Render the training scenes, each once, and cut the classifier's crops out of them."""
    rng = np.random.default_rng(seed)
    wire, small = (recipes[name].input.raw("uint8") for name in ("detector", "classifier"))
    frames, boxes = np.empty((count, *wire.shape[1:]), np.uint8), np.zeros((count, MOST_BOXES, 4), np.float32)
    cut: dict[int, list[np.ndarray]] = {}
    for i, (image, truth) in track(enumerate(render(TRAINING, count)), "rendering", count):
        frames[i : i + 1], placement = preprocess(image, wire)
        boxes[i, : len(truth)] = placement.to_input(truth.boxes)
        for piece, product in crops(image, truth, rng):
            if len(cut.setdefault(product, [])) < CROPS:
                cut[product].append(preprocess(piece, small)[0])
    products = [product for product, pieces in cut.items() for _ in pieces]
    pieces = np.concatenate([piece for pieces in cut.values() for piece in pieces])
    return Pictures(*(torch.from_numpy(array) for array in (frames, boxes, pieces, np.array(products))))


Batch = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def train(model: nn.Module, batch: Batch, loss: Loss, steps: int, size: int, rate: float, seed: int) -> None:
    """AdamW under a one-cycle schedule (Smith and Topin, arXiv 1708.07120); leaves the model in eval mode."""
    rng = np.random.default_rng(seed)
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.15)
    for step in track(range(steps), f"training {type(model).__name__}"):
        images, truth = batch(rng, size)
        error = loss(model, images.to(memory_format=torch.channels_last), truth)
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {error.item():.4f}", flush=True)
    model.eval().to(memory_format=torch.contiguous_format)


def classifier_loss(model: nn.Module, images: Tensor, products: Tensor) -> Tensor:
    return F.cross_entropy(model(images), products, label_smoothing=0.05)


def detector_loss(model: nn.Module, images: Tensor, truth: Tensor) -> Tensor:
    """Points near the middle of a product learn its box by GIoU, and as score the IoU that they reach; all others
    learn 0 (quality focal loss: Li et al., Generalized Focal Loss, NeurIPS 2020)."""
    distances, logits = model.raw(images)
    points = model.points[0].T
    owner, positive = assign(points, truth)
    predicted = torch.cat([points - distances[:, :2].mT, points + distances[:, 2:].mT], 2)
    wanted = truth.gather(1, owner[..., None].expand(-1, -1, 4))
    overlap, giou = giou_of(predicted[positive], wanted[positive])
    quality = torch.zeros_like(positive, dtype=torch.float32)
    quality[positive] = overlap.detach()
    logits = logits[:, 0]
    focus = (quality - logits.detach().sigmoid()).abs().square()
    scores = F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * focus
    total = quality.sum().clamp(min=1)
    return scores.sum() / total + 2 * ((1 - giou) * overlap.detach()).sum() / total


def assign(points: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """For each point the number of its box, (n, points), and whether it has one: the smallest box in whose middle it
    lies, the middle being 0.44 of a side and at least one point wide."""
    middle, sides = (truth[..., :2] + truth[..., 2:]) / 2, truth[..., 2:] - truth[..., :2]
    near = (0.22 * sides).clamp(min=4.01)[:, None]
    there = (points[None, :, None] - middle[:, None]).abs().le(near).all(3) & (sides[:, None, :, 0] > 0)
    area = sides.prod(2)[:, None].expand_as(there).masked_fill(~there, torch.inf)
    return area.argmin(2), there.any(2)


def giou_of(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes pair by pair, (n,) each (Rezatofighi et al., CVPR 2019)."""
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - common
    iou = common / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def save(model: nn.Module, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


@torch.inference_mode()
def classify(model: nn.Module, recipe: Recipe, image: Image) -> Classification:
    tensor, _ = preprocess(image, recipe.input)
    return decode_classification((model(torch.from_numpy(tensor)).numpy(),), recipe.head, len(recipe.read_labels()))


@torch.inference_mode()
def detect(model: nn.Module, spec: InputSpec, head: DetectionHead, image: Image) -> Detections:
    tensor, placement = preprocess(image, spec)
    found = decode_detections(tuple(part.numpy() for part in model(torch.from_numpy(tensor))), head, spec, 1)
    return Detections(placement.to_frame(found.boxes), found.scores, found.labels)


def report_classifier(model: ProductClassifier, recipe: Recipe) -> None:
    unseen = open_dataset(recipe.evaluation, recipe.read_labels(), recipe.folder)
    score = evaluate_classifier(lambda image: classify(model, recipe, image), unseen)
    print(f"classifier: top-1 {score.top1:.4f} on {score.images} crops of unseen scenes")


def report_detector(model: ProductDetector, recipe: Recipe) -> None:
    unseen = open_dataset(recipe.evaluation, recipe.read_labels(), recipe.folder)
    weak = with_candidates(recipe.head)
    score = evaluate_detector(lambda image: detect(model, recipe.input, weak, image), unseen, recipe.head.score)
    print(f"detector: {score.figures()} on {score.images} unseen scenes")


def report_counts(model: ProductDetector, recipe: Recipe) -> None:
    """How often the number of products found is the number that can be seen, frame by frame and without a tracker."""
    right = [
        len(detect(model, recipe.input, recipe.head, image)) == len(truth) for image, truth in render(EVALUATION, 250)
    ]
    print(f"detector: count right in {np.mean(right):.3f} of {len(right)} frames")


if __name__ == "__main__":
    main()
