"""Whether an artifact computes what the framework computed: its raw outputs, and what they mean once decoded.

A float artifact is the same model, so the gap must be that of rounding; one that is wider was exported wrongly. INT8
is another model by design: its gap is told, and the accuracy gate judges it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.boxes import iou
from edgekit.contract import AnyHead, DetectionHead, Embedding, InputSpec, Softmax
from edgekit.converters.gate import Verdict
from edgekit.decode import decode_classification, decode_detections, decode_embedding
from edgekit.errors import ContractError
from edgekit.frames import Detections
from edgekit.outcome import Outcome

Outputs: TypeAlias = Sequence[npt.NDArray[Any]]
Precision: TypeAlias = Literal["float", "int8"]

# Measured between ONNX Runtime and OpenVINO on YOLOX-nano and FastestDet, as a part of the outputs' range: 2e-5 to 7e-5
# where both compute in float32, 0.4 to 0.5 where OpenVINO computes in bfloat16. So float32 has room and bfloat16 none.
_RELATIVE = 2e-3
_COSINE = 0.9999
_SCORE = 5e-3
_FOUND_CLOSELY = 0.95
_SLACK = 0.05  # by which a score may pass under the head's threshold without its detection counting as lost or won


@dataclass(frozen=True)
class TensorParity:
    """One output of an artifact against the framework's.

    max_abs, mean_abs: of the difference. relative: max_abs as a part of the framework's range, largest less smallest.
    cosine: of the two as vectors; 1 where both are all zero.
    """

    shape: tuple[int, ...]
    max_abs: float
    mean_abs: float
    relative: float
    cosine: float


@dataclass(frozen=True)
class DecodedParity:
    """What the outputs mean, over all golden pictures.

    compared: pictures, or for a detector the framework's detections. same: the share of them with the same top label;
    for a detector found again, same label and IoU of 0.5 or more. same_closely: at IoU 0.9. max_score: the largest
    difference of a score. extra: detections of the artifact's that the framework does not have. For an embedding `same`
    is the smallest cosine.
    """

    compared: int
    same: float
    same_closely: float
    max_score: float
    extra: int = 0


@dataclass(frozen=True)
class Parity:
    """What `check_parity` found. `tensors`: the worst over the golden pictures, for each output."""

    precision: Precision
    tensors: tuple[TensorParity, ...]
    decoded: DecodedParity
    verdict: Verdict

    def figures(self) -> dict[str, float]:
        """The figures of the whole, by name."""
        return {
            "max_abs": max(each.max_abs for each in self.tensors),
            "relative": max(each.relative for each in self.tensors),
            "cosine": min(each.cosine for each in self.tensors),
            "same": self.decoded.same,
            "same_closely": self.decoded.same_closely,
            "max_score": self.decoded.max_score,
            "extra": float(self.decoded.extra),
        }


def compare_outputs(reference: Outputs, candidate: Outputs) -> tuple[TensorParity, ...]:
    """Each output of an artifact against the framework's for one picture.

    Raises ContractError where their number or shapes differ, or where a value is not finite.
    """
    shapes = [tuple(each.shape) for each in reference], [tuple(each.shape) for each in candidate]
    if shapes[0] != shapes[1]:
        raise ContractError(f"the framework's outputs are {shapes[0]}, the artifact's {shapes[1]}")
    return tuple(_compare(i, *pair) for i, pair in enumerate(zip(reference, candidate, strict=True)))


def check_parity(
    reference: Sequence[Outputs],
    candidate: Sequence[Outputs],
    head: AnyHead,
    spec: InputSpec,
    labels: int,
    precision: Precision,
) -> Parity:
    """An artifact's outputs for the golden pictures against the framework's, in the same order.

    `spec` is the model's own input, `labels` how many it has. Float artifacts are judged, PASS or FAIL; INT8 ones
    PASS with their gap told. Raises ContractError where outputs do not fit each other or the head, ValueError where
    there are no pictures or not as many on both sides.
    """
    if not reference or len(reference) != len(candidate):
        raise ValueError(f"parity needs outputs for the same pictures; got {len(reference)} and {len(candidate)}")
    pictures = [compare_outputs(*pair) for pair in zip(reference, candidate, strict=True)]
    tensors = tuple(_widest(column) for column in zip(*pictures, strict=True))
    decoded = _compare_decoded(reference, candidate, head, spec, labels)
    faults = tuple(_faults(tensors, decoded)) if precision == "float" else ()
    outcome: Outcome = "FAIL" if faults else "PASS"
    reasons = tuple(f"{outcome}: {each}" for each in faults or (_told(tensors, decoded, precision),))
    return Parity(precision, tensors, decoded, Verdict(outcome, reasons))


def _compare(number: int, reference: npt.NDArray[Any], candidate: npt.NDArray[Any]) -> TensorParity:
    want, got = reference.astype(np.float64).ravel(), candidate.astype(np.float64).ravel()
    for whose, values in (("framework", want), ("artifact", got)):
        if not np.isfinite(values).all():
            wrong = int((~np.isfinite(values)).sum())
            raise ContractError(f"output {number} of the {whose} holds {wrong} values that are not finite")
    apart = np.abs(want - got)
    widest = float(apart.max(initial=0.0))
    # An output that is the same everywhere has no range; its own size stands in.
    extent = float(np.ptp(want) or np.abs(want).max()) if want.size else 0.0
    lengths = float(np.linalg.norm(want) * np.linalg.norm(got))
    return TensorParity(
        shape=tuple(reference.shape),
        max_abs=_rounded(widest),
        mean_abs=_rounded(float(apart.mean()) if want.size else 0.0),
        relative=_rounded(widest / extent if extent else float(widest > 0)),
        cosine=_rounded(float(want @ got) / lengths if lengths else float(widest == 0)),
    )


def _widest(column: tuple[TensorParity, ...]) -> TensorParity:
    return TensorParity(
        shape=column[0].shape,
        max_abs=max(each.max_abs for each in column),
        mean_abs=max(each.mean_abs for each in column),
        relative=max(each.relative for each in column),
        cosine=min(each.cosine for each in column),
    )


def _compare_decoded(
    reference: Sequence[Outputs], candidate: Sequence[Outputs], head: AnyHead, spec: InputSpec, labels: int
) -> DecodedParity:
    pairs = zip(reference, candidate, strict=True)
    if isinstance(head, Softmax):
        return _compare_classes([tuple(decode_classification(each, head, labels).scores for each in p) for p in pairs])
    if isinstance(head, Embedding):
        return _compare_vectors([tuple(decode_embedding(each, head) for each in pair) for pair in pairs])
    slack = replace(head, score=max(head.score - _SLACK, 0.0))
    found = [tuple(decode_detections(each, slack, spec, labels) for each in pair) for pair in pairs]
    return _compare_detections([(pair[0], pair[1]) for pair in found], head)


def _compare_classes(pairs: Sequence[tuple[npt.NDArray[Any], ...]]) -> DecodedParity:
    """A top label that the framework itself puts no higher than the artifact's choice, within rounding, is the same."""
    gaps = [float(np.abs(want - got).max()) for want, got in pairs]
    same = float(np.mean([want.max() - want[got.argmax()] <= 1e-4 for want, got in pairs]))
    return DecodedParity(len(pairs), _rounded(same), _rounded(same), _rounded(max(gaps)))


def _compare_vectors(pairs: Sequence[tuple[npt.NDArray[Any], ...]]) -> DecodedParity:
    cosines = [float(want @ got / max(np.linalg.norm(want) * np.linalg.norm(got), 1e-12)) for want, got in pairs]
    gap = max(float(np.abs(want - got).max()) for want, got in pairs)
    return DecodedParity(len(pairs), _rounded(min(cosines)), _rounded(min(cosines)), _rounded(gap))


def _compare_detections(pairs: Sequence[tuple[Detections, Detections]], head: DetectionHead) -> DecodedParity:
    """Detections above the head's threshold on one side are looked for on the other a little below it too."""
    best: list[float] = []
    gaps, extra = [0.0], 0
    for want, got in pairs:
        sure = want[want.scores >= head.score]
        shared, partner = _partners(sure, got)
        best += shared.tolist()
        gaps += np.abs(sure.scores - got.scores[partner])[shared >= 0.5].tolist() if len(got) else []
        extra += int((_partners(got[got.scores >= head.score], want)[0] < 0.5).sum())
    there = np.array(best)
    same, closely = (float((there >= least).mean()) if len(there) else 1.0 for least in (0.5, 0.9))
    return DecodedParity(len(there), _rounded(same), _rounded(closely), _rounded(max(gaps)), extra)


def _partners(these: Detections, those: Detections) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """For each of `these` the largest IoU with one of `those` of its label, 0 where there is none; and which it is."""
    if not len(those):
        return np.zeros(len(these)), np.zeros(len(these), np.intp)
    shared = np.where(these.labels[:, None] == those.labels[None], iou(these.boxes, those.boxes), 0)
    return shared.max(axis=1), shared.argmax(axis=1)


def _faults(tensors: tuple[TensorParity, ...], decoded: DecodedParity) -> Iterator[str]:
    for number, each in enumerate(tensors):
        if each.relative > _RELATIVE or each.cosine < _COSINE:
            yield (
                f"parity: output {number} is {each.relative:.2g} of its range from the framework's, cosine "
                f"{each.cosine:.6f}; {_RELATIVE:g} and {_COSINE:g} are the limits of a float artifact"
            )
    if decoded.same < 1 or decoded.same_closely < _FOUND_CLOSELY or decoded.max_score > _SCORE or decoded.extra:
        yield f"parity: {_decoded(decoded)}; a float artifact must answer as the framework does"


def _told(tensors: tuple[TensorParity, ...], decoded: DecodedParity, precision: Precision) -> str:
    widest = max(each.relative for each in tensors)
    judged = "" if precision == "float" else ", not judged: accuracy is what INT8 is held to"
    return f"parity: outputs within {widest:.2g} of their range, {_decoded(decoded)}{judged}"


def _decoded(decoded: DecodedParity) -> str:
    extra = f", {decoded.extra} extra" if decoded.extra else ""
    return (
        f"{decoded.same:.1%} of {decoded.compared} answers the same ({decoded.same_closely:.1%} closely), "
        f"scores within {decoded.max_score:.2g}{extra}"
    )


def _rounded(figure: float) -> float:
    """Three digits that count: parity lies orders of magnitude apart, so a fixed number of places would lose it."""
    return float(f"{figure:.6g}")
