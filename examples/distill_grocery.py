"""What a small model learns from a large one: MobileNetV2 0.35 on 81 products, trained alone and taught by the 1.0.

    python examples/distill_grocery.py --data ../shared/data --out out/distilled

`--data` holds `grocery/` (github.com/marcusklasson/GroceryStoreDataset) and `models/` with ImageNet weights in
torchvision's names. Killed and started again it goes on where it was. Both students begin from the same weights, see
the same pictures in the same order, and are held against each other picture by picture on the test set.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from edgekit.contract import InputSpec, Softmax
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.evaluate import evaluate_classifier
from edgekit.converters.framework import ModuleSession
from edgekit.converters.load import ModelSpec, load_model
from edgekit.converters.paired import chance_of_loss, outcomes, top1_interval
from edgekit.converters.scores import ClassificationScore
from edgekit.converters.steps import StepContext, Stepped
from edgekit.converters.train import Augment, Distill, Train, run_distill, run_train
from edgekit.tasks import Classifier

# The weights were trained on RGB pixels / 127.5 - 1.
SPEC, HEAD = InputSpec(128, 128, fit="stretch", scale=1 / 127.5, mean=(1.0, 1.0, 1.0)), Softmax()
LABELS = tuple((Path(__file__).parent / "recipes" / "grocery.txt").read_text().splitlines())
TEACHER, STUDENT = {"width_mult": 1.0, "num_classes": 81}, {"width_mult": 0.35, "num_classes": 81}
STARTS = {1.0: "models/mobilenet_v2_1.0_imagenet.pt", 0.35: "models/mobilenet_v2_0.35_96_backbone.pt"}
FRUIT = Augment(flip=0.5)  # most of the products are fruit, and fruit has no print


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    # The validation pictures show 60 of the 81 classes, too few to choose by: the last epoch is kept.
    training, test = (pictures(name, args.data) for name in ("train", "test"))
    weights = args.out / "teacher-1.0.safetensors"
    if not weights.is_file():
        # What sees edges and colours stays as ImageNet made it, which also halves the time.
        step = Train(epochs=args.teacher_epochs, augment=FRUIT, frozen={f"features.{i}": 99 for i in range(7)})
        save(run_train(model(TEACHER, args.data), step, context("teacher", training, args)), weights)
    alone = Train(epochs=args.epochs, augment=FRUIT)
    taught = Distill(
        epochs=args.epochs,
        augment=FRUIT,
        teacher=ModelSpec(torchvision="mobilenet_v2", weights=str(weights.resolve()), arguments=TEACHER),
    )
    students = {
        "alone": run_train(model(STUDENT, args.data), alone, context("alone", training, args)),
        "distilled": run_distill(model(STUDENT, args.data), taught, context("distilled", training, args)),
    }
    for name, stepped in students.items():
        save(stepped, args.out / f"student-0.35-{name}.safetensors")
    report({name: score(stepped.module, test) for name, stepped in students.items()})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12, help="of each student")
    parser.add_argument("--teacher-epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def pictures(name: str, data: Path) -> Dataset:
    return open_dataset(DataSpec("list", f"grocery/{name}.txt"), LABELS, data)


def model(arguments: dict[str, float], data: Path) -> nn.Module:
    torch.manual_seed(0)  # of the new last layer
    spec = ModelSpec(torchvision="mobilenet_v2", start=STARTS[arguments["width_mult"]], arguments=arguments)
    return load_model(spec, data, SPEC, HEAD).module


def context(name: str, training: Dataset, args: argparse.Namespace) -> StepContext:
    scratch = args.out / "scratch" / name
    scratch.mkdir(parents=True, exist_ok=True)
    return StepContext(SPEC, HEAD, LABELS, training, None, args.seed, args.data, scratch, tell)


def tell(stage: str, done: int, total: int) -> None:
    if done == total and stage != "training":
        print(stage, file=sys.stderr, flush=True)


def save(stepped: Stepped, path: Path) -> None:
    save_file(stepped.module.model.state_dict(), path)
    print(f"{path}: {dict(stepped.figures)}, {stepped.measured['training_s']} s", flush=True)


def score(module: nn.Module, test: Dataset) -> ClassificationScore:
    return evaluate_classifier(Classifier(ModuleSession(module, SPEC), SPEC, HEAD, LABELS), test)


def report(scores: dict[str, ClassificationScore]) -> None:
    found = outcomes(scores["alone"], scores["distilled"])
    low, high = top1_interval(found) or (0.0, 0.0)
    for name, each in scores.items():
        print(f"{name}: top-1 {each.top1:.4f} on {each.images} pictures")
    print(
        f"distilled against alone: {scores['distilled'].top1 - scores['alone'].top1:+.4f}, 95 % interval "
        f"{-high:+.4f} to {-low:+.4f}; {found.won} pictures won, {found.lost} lost, "
        f"by chance {chance_of_loss(found.won, found.lost):.2g}"
    )


if __name__ == "__main__":
    main()
