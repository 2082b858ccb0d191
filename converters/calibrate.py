"""Whether calibration pictures are fit to set INT8 ranges: enough, different, of the right kind, not the evaluation's.
Nor may any others that a build learns or chooses by be the evaluation's.

    found = audit(calibration, evaluation, {"training": training}, recipe.input, labels)
    for refusal in found.refusals(allowed=("calibration-too-few",)):
        ...

Calibration on noise, on the evaluation set or on eight pictures is what others ship without a word. Here each fault has
a code by which it can be allowed, and what was allowed is on record.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.contract import InputSpec
from edgekit.converters.data import Dataset
from edgekit.converters.looks import Looks, look
from edgekit.converters.perceptual import alike
from edgekit.converters.steps import Progress
from edgekit.errors import DataError, SettingsError

# With n pictures, the chance that the next one leaves the range of an activation is 1 / (n + 1) at either end, whatever
# the network: 1 in 33 and 1 in 101. With 8 it is 1 in 9.
LEAST, EXPECTED = 32, 100
_NIGHT = 50  # mean brightness; of 1624 pictures of groceries, bottles and fruit one was as dark

REMEDIES: Mapping[str, str] = {
    "calibration-too-few": f"add pictures, {EXPECTED} or more that differ",
    "calibration-near-duplicates": "take fewer frames of each scene, or more scenes",
    "calibration-overlaps-evaluation": "take those pictures out of one of the two sets",
    "calibration-is-noise": "calibrate on pictures that the camera took",
    "calibration-too-dark": "add pictures from the hours in which the shop is lit",
    "calibration-too-bright": "add pictures from the hours in which the shop is dark",
    "calibration-lacks-colour": "calibrate on colour pictures, as the evaluation set holds them",
    "calibration-lacks-classes": "add pictures of each product",
    "calibration-unstable": "add pictures until one half of them says what the other says",
    "training-overlaps-evaluation": "take those pictures out of the training set, and train again",
    "validation-overlaps-evaluation": "take those pictures out of one of the two sets",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a set of pictures.

    refused: bad enough to stop a build, unless its code is allowed; otherwise a warning.
    """

    code: str
    message: str
    refused: bool

    def __str__(self) -> str:
        return f"{self.code}: {self.message}; {REMEDIES[self.code]}"


@dataclass(frozen=True)
class Audit:
    """What is wrong with a build's pictures, and the figures behind it: shares, 0 to 1, and brightness, 0 to 255."""

    findings: tuple[Finding, ...]
    figures: Mapping[str, float]

    def refusals(self, allowed: Collection[str] = ()) -> tuple[Finding, ...]:
        """What is refused and not `allowed`; `SettingsError` for an allowed code that there is not."""
        check_codes(allowed)
        return tuple(each for each in self.findings if each.refused and each.code not in allowed)

    def check(self, allowed: Collection[str] = ()) -> None:
        """`DataError` that names every refusal, and how to allow it."""
        if refusals := self.refusals(allowed):
            options = " ".join(f"--allow {each.code}" for each in refusals)
            raise DataError(f"{'. '.join(map(str, refusals))}. To build all the same: {options}")


def check_codes(allowed: Collection[str]) -> None:
    """`SettingsError` for a code that no finding has."""
    for code in sorted(set(allowed) - set(REMEDIES)):
        near = difflib.get_close_matches(code, REMEDIES, n=1)
        hint = f", did you mean '{near[0]}'?" if near else ""
        raise SettingsError(f"there is no finding '{code}' to allow{hint}; there are: {', '.join(REMEDIES)}")


def audit(
    calibration: Dataset | None,
    evaluation: Dataset,
    others: Mapping[str, Dataset],
    spec: InputSpec,
    labels: Sequence[str],
    progress: Progress | None = None,
) -> Audit:
    """Look at every picture once and say what is wrong with the calibration set, and which pictures are evaluated too.

    calibration: None where nothing is calibrated. others: 'training' and 'validation', as far as there are such.
    `spec`: how pictures become what the model takes, for the ranges. `labels`: the model's classes. A picture that
    cannot be decoded is a DataError.
    """
    tell = progress or (lambda stage, done, total: None)
    held_out = look(evaluation, spec, "auditing the evaluation set", tell)
    checks = []
    if calibration is not None:
        own = look(calibration, spec, "auditing the calibration set", tell)
        checks += [
            _distinct(own),
            _overlap("calibration", own, held_out),
            _grain(own),
            _light(own, held_out),
            _colour(own, held_out),
            _classes(calibration, evaluation, labels),
            _stability(own),
        ]
    for name, pictures in others.items():
        checks.append(_overlap(name, look(pictures, spec, f"auditing the {name} set", tell), held_out))
    findings = tuple(finding for found, _ in checks for finding in found)
    return Audit(findings, {name: round(float(value), 6) for _, figures in checks for name, value in figures.items()})


_Check: TypeAlias = tuple[list[Finding], dict[str, float]]


def _distinct(own: Looks) -> _Check:
    """How many pictures there are, those apart that look like an earlier one."""
    pairs = alike(own.prints, own.prints)
    again = set(pairs[pairs[:, 1] < pairs[:, 0], 0].tolist()) | _repeated(own.digests)
    n, distinct = len(own), len(own) - len(again)
    findings = []
    if distinct < EXPECTED:
        each_differs = "" if distinct == n else f", {distinct} of which differ"
        text = (
            f"{n} pictures{each_differs}: one in {distinct + 1} that the camera sees will leave an activation's range"
        )
        findings.append(Finding("calibration-too-few", text, distinct < LEAST))
    if len(again) > 0.05 * n:
        text = f"{n - distinct} of {n} pictures look like another, {n - len(set(own.digests))} to the last pixel"
        findings.append(Finding("calibration-near-duplicates", text, len(again) > 0.5 * n))
    return findings, {"pictures": n, "distinct": distinct}


def _repeated(digests: Sequence[str]) -> set[int]:
    first = {digest: place for place, digest in reversed(list(enumerate(digests)))}
    return {place for place, digest in enumerate(digests) if first[digest] != place}


def _overlap(name: str, own: Looks, held_out: Looks) -> _Check:
    """Pictures of the set that the evaluation set holds too, to the last pixel or nearly."""
    n, same = len(own), np.isin(own.digests, held_out.digests)
    like = len(set(alike(own.prints, held_out.prints)[:, 0].tolist()) | set(np.flatnonzero(same).tolist()))
    figures = {f"{name}_in_evaluation": same.mean(), f"{name}_like_evaluation": like / n}
    if not same.any() and like <= 0.02 * n:
        return [], figures
    text = f"of {n} {name} pictures the evaluation set holds {same.sum()} to the last pixel, {like} at least nearly"
    return [Finding(f"{name}-overlaps-evaluation", text, same.mean() > 0.01 or like > 0.1 * n)], figures


def _grain(own: Looks) -> _Check:
    noisy = float((own.grain < 0.3).mean())
    figures = {"noise": noisy, "grain": float(np.median(own.grain))}
    text = f"in {noisy:.0%} of the pictures neighbouring pixels have nothing to do with each other"
    return ([Finding("calibration-is-noise", text, noisy > 0.5)] if noisy > 0.05 else []), figures


def _light(own: Looks, held_out: Looks) -> _Check:
    """Whether the pictures are as bright and as dark as those of the evaluation set; all of them dark is a night.

    Twice as bright is another hour of the day, and refused. Less is not: a network may well be calibrated on shelves
    and evaluated on pictures from catalogues.
    """
    low, high = np.percentile(own.light, (5, 95))
    usual = float(np.median(held_out.light))
    text = f"they have a mean brightness of {low:.0f} to {high:.0f} of 255, half of the evaluation pictures of "
    findings = []
    if high < max(_NIGHT, 0.8 * usual):
        findings.append(Finding("calibration-too-dark", f"{text}{usual:.0f} or more", high < max(_NIGHT, usual / 2)))
    if low > 1.25 * usual:
        findings.append(Finding("calibration-too-bright", f"{text}{usual:.0f} or less", low > 2 * usual))
    return findings, {"light_low": low, "light_high": high, "evaluation_light": usual}


def _colour(own: Looks, held_out: Looks) -> _Check:
    most, expected = float(np.percentile(own.colour, 95)), float(np.median(held_out.colour))
    text = f"the channels lie {most:.0f} of 255 apart at most, {expected:.0f} in half of the evaluation pictures"
    grey = most < 6 and expected > 12
    return ([Finding("calibration-lacks-colour", text, True)] if grey else []), {"colour": most}


def _classes(calibration: Dataset, evaluation: Dataset, labels: Sequence[str]) -> _Check:
    """Classes that are evaluated and not calibrated on. Only a classifier's crop shows its product and little else."""
    if calibration.holds == "pictures":
        return [], {}
    expected, shown = _shown(evaluation), _shown(calibration)
    lacking = sorted(expected - shown)
    figures: dict[str, float] = {"classes": len(shown), "classes_lacking": len(lacking)}
    if not lacking:
        return [], figures
    names = ", ".join(labels[each] for each in lacking[:5]) + (", ..." if len(lacking) > 5 else "")
    text = f"{len(lacking)} of the {len(expected)} classes that are evaluated are not in it: {names}"
    refused = calibration.holds == "classes" and len(lacking) > len(expected) / 2
    return [Finding("calibration-lacks-classes", text, refused)], figures


def _shown(data: Dataset) -> set[int]:
    boxed = {label for sample in data.samples for label in sample.labels.tolist()}
    return boxed | {sample.label for sample in data.samples if sample.label is not None}


def _stability(own: Looks) -> _Check:
    """How far two halves of the set, drawn at random, are apart in what the model is given."""
    if len(own) < 2:
        return [], {}
    order = np.random.default_rng(0).permutation(len(own))
    halves = [own.histograms[order[start::2]].sum(axis=0) for start in (0, 1)]
    (low, mean, high), (other_low, other_mean, other_high) = (_range(each) for each in halves)
    span = np.maximum(np.maximum(high, other_high) - np.minimum(low, other_low), 1)
    ends = (np.abs(low - other_low) + np.abs(high - other_high)) / span
    apart = float(np.maximum(ends, np.abs(mean - other_mean) / span).max())
    text = f"two halves of it differ by {apart:.0%} of the range of a channel"
    return ([Finding("calibration-unstable", text, apart > 0.25)] if apart > 0.15 else []), {"instability": apart}


def _range(histogram: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], ...]:
    """(3,) each, of (3, 256) counts: below it lie 0.1 % of the values, their mean, above it lie 0.1 %."""
    share = np.cumsum(histogram, axis=1) / histogram.sum(axis=1, keepdims=True)
    low, high = ((share > end).argmax(axis=1).astype(np.float64) for end in (0.001, 0.999))
    return low, histogram @ np.arange(256) / histogram.sum(axis=1), high
