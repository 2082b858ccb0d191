"""What to build, as data: the trained model, its contract, the pictures, the steps, the targets and the gate.

A recipe is a TOML file; paths in it are relative to its folder. It can be printed, compared and replayed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from edgekit import schema
from edgekit.contract import Format, HeadSpec, InputSpec, task_of
from edgekit.converters.data import DataSpec
from edgekit.converters.gate import Gate
from edgekit.converters.load import ModelSpec
from edgekit.converters.prune import Prune
from edgekit.converters.quantize import Calibrator, Int8Settings
from edgekit.converters.quantize.escalate import Repair
from edgekit.converters.train.settings import Distill, FineTune, Loop, Train, without_effect
from edgekit.errors import SettingsError
from edgekit.schema import STRICT, TaggedBy

COMPARED = 16  # evaluation pictures on which raw outputs are held against the framework's; golden frames are the first


@dataclass(frozen=True)
class Quantize:
    """Static INT8 of every target, calibrated on the recipe's calibration pictures; see `Int8Settings`.

    keep_float: operators that stay in float, for each target by the names or patterns of its own file:
    `{ onnx = ["Conv_7"], tflite = ["CONV_2D_0"] }`. OpenVINO's file is made of the ONNX one.
    repair: what is tried where the gate refuses the result; `{ repairs = [] }` tries nothing.
    aware: how the model is trained under simulated INT8 where no repair suffices, `{ epochs = 2 }`; None: it is not.
        Only INT8 that failed is made of what was trained; float files and INT8 that passed stay of the model before.
    """

    __pydantic_config__ = STRICT

    kind: Literal["quantize"] = "quantize"
    per_channel: bool = True
    calibration: Calibrator = "minmax"
    correct_bias: bool = False
    keep_float: dict[Literal["onnx", "tflite"], tuple[str, ...]] = field(default_factory=dict)
    repair: Repair = field(default_factory=Repair)
    aware: FineTune | None = None

    def __post_init__(self) -> None:
        if self.aware is not None and self.aware.int8 is not None:
            raise ValueError("aware trains for the INT8 of its quantize step; leave int8 out of it")

    def settings(self, target: Literal["onnx", "tflite"]) -> Int8Settings:
        """What the quantizer of one target goes by."""
        return Int8Settings(self.per_channel, self.calibration, self.keep_float.get(target, ()), self.correct_bias)


ModelStep: TypeAlias = Train | Distill | Prune | FineTune  # these change the model itself, in any order
Step: TypeAlias = Annotated[ModelStep | Quantize, TaggedBy("kind")]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a bundle holds.

    labels: the names of the classes, or a text file with one name a line.
    training: pictures that steps learn from. validation: those by which they stop and choose. Neither is evaluation.
    steps: what is done to the model before it is sealed, in this order, quantizing last; without a Quantize step the
        bundle holds float variants only.
    gate: how far each artifact may fall behind the model that the steps made. compression: how far that model may fall
        behind what it was before its first Prune, on the same pictures; None where nobody asked.
    golden: how many evaluation pictures travel in the bundle for `edgekit verify`, 16 at most; with none there is
        nothing for it to run, and no latency can be measured.
    release: counts the bundles of one name. seed: of every draw, pictures included.
    folder: where paths begin; that of the recipe's file, or one relative to it.
    """

    __pydantic_config__ = STRICT

    name: str
    model: ModelSpec
    input: InputSpec
    head: HeadSpec
    labels: tuple[str, ...] | str
    evaluation: DataSpec
    calibration: DataSpec | None = None
    training: DataSpec | None = None
    validation: DataSpec | None = None
    steps: tuple[Step, ...] = (Quantize(),)
    targets: tuple[Format, ...] = ("onnx", "openvino", "tflite")
    gate: Gate = field(default_factory=Gate)
    compression: Gate | None = None
    release: int = 1
    seed: int = 0
    golden: int = 2
    folder: str = "."

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise ValueError(f"targets must name at least one format, none of them twice; got {self.targets}")
        if self.quantize is not None and self.calibration is None:
            raise ValueError("a quantize step needs [calibration]: pictures like those that the camera will see")
        if self.quantize is None and self.calibration is not None:
            raise ValueError("calibration pictures are for a quantize step, and steps holds none")
        if not 0 <= self.golden <= COMPARED:
            raise ValueError(f"golden must be 0 to {COMPARED}; got {self.golden}")
        if self.release < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"release counts from 1 and seed has 32 bits; got {self.release} and {self.seed}")
        if self.input.dtype != "float32" or self.input.layout != "NCHW":
            raise ValueError(
                "input is what the trained module takes, float32 NCHW; each artifact's own form follows from it; "
                f"got {self.input.dtype} {self.input.layout}"
            )
        self._check_steps()

    def _check_steps(self) -> None:
        if any(isinstance(step, Quantize) for step in self.steps[:-1]):
            raise ValueError("quantize is the last step, and there is one of it")
        if self.compression is not None and not any(isinstance(step, Prune) for step in self.steps):
            raise ValueError("[compression] judges what pruning cost, and steps holds no prune")
        self._check_keep_float()
        self._check_training()
        self._check_validation()

    def _check_keep_float(self) -> None:
        made = {"tflite" if target == "tflite" else "onnx" for target in self.targets}
        strange = sorted(set(self.quantize.keep_float) - made) if self.quantize is not None else []
        if strange:
            raise ValueError(f"keep_float names {strange[0]}, and none of the targets is made by way of it")

    def _check_training(self) -> None:
        for step in self._learning:
            for ignored in without_effect(step, task_of(self.head)):
                raise ValueError(f"{step.kind}: {ignored} does nothing for a '{self.head.kind}' head; leave it out")
        learning = [step.kind for step in self.model_steps if isinstance(step, Loop)]
        told = " and ".join(dict.fromkeys([*learning, *["aware quantizing"] * (self.aware_step is not None)]))
        if told and self.training is None:
            raise ValueError(f"{told} need [training]: pictures to learn from")
        ranked = any(isinstance(step, Prune) and step.importance == "taylor" for step in self.steps)
        if ranked and self.training is None:
            raise ValueError(
                'prune ranks channels by the training loss and needs [training]; or say importance = "group-norm"'
            )
        if self.training is not None and not (told or self.model_steps):
            raise ValueError("training pictures are for steps that learn, and steps holds none")

    def _check_validation(self) -> None:
        learning = self._learning
        if self.validation is not None and not learning:
            raise ValueError("validation pictures are for steps that learn, and steps holds none")
        if self.validation is None and any(step.patience is not None for step in learning):
            raise ValueError("patience needs [validation]: pictures by which training stops; or leave patience out")

    @property
    def _learning(self) -> list[Train | Distill | FineTune]:
        return [step for step in (*self.model_steps, self.aware_step) if isinstance(step, Loop)]

    @property
    def quantize(self) -> Quantize | None:
        return next((step for step in self.steps if isinstance(step, Quantize)), None)

    @property
    def aware_step(self) -> FineTune | None:
        """The step that trains the model under the INT8 of its quantize step, where that asks for it."""
        step = self.quantize
        return None if step is None or step.aware is None else replace(step.aware, int8=step.settings("onnx"))

    @property
    def model_steps(self) -> tuple[ModelStep, ...]:
        """The steps that change the model itself."""
        return tuple(step for step in self.steps if not isinstance(step, Quantize))

    def read_labels(self) -> tuple[str, ...]:
        """The class names; `SettingsError` where the file is missing, or a name is empty or stands twice."""
        names = self.labels
        if isinstance(names, str):
            path = Path(self.folder, names)
            try:
                names = tuple(path.read_text(encoding="utf-8").splitlines())
            except OSError as error:
                raise SettingsError(f"labels: {path}: {error.strerror}") from error
            except UnicodeDecodeError as error:
                raise SettingsError(f"labels: {path}: not UTF-8: {error}") from error
        if not names or not all(name.strip() for name in names) or len(set(names)) != len(names):
            raise SettingsError(f"labels must be one or more names, none empty and none twice; got {_short(names)}")
        return names


def read_recipe(path: Path | str) -> Recipe:
    """The recipe in a TOML file; `SettingsError` names every unknown key and wrong value in one line."""
    recipe = schema.parse(Recipe, schema.read_toml(path), str(path))
    return replace(recipe, folder=str(Path(path).resolve().parent / recipe.folder))


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
