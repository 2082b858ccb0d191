"""From a recipe to a bundle: load, train or prune as its steps say, export, quantize, hold every artifact against the
framework, judge, seal.

`build` computes and judges; no bundle is written before `Built.write`, and that writes one whole file or none. What is
kept on the way are finished steps, see `finished`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from edgekit.bundle import Manifest, write_bundle
from edgekit.converters.calibrate import Audit, audit, check_codes
from edgekit.converters.finished import Finished
from edgekit.converters.gate import Verdict, judge
from edgekit.converters.judging import Evaluator, Judge, all_of
from edgekit.converters.load import RawOutputs
from edgekit.converters.memory import enough_memory
from edgekit.converters.opened import Opened, open_recipe
from edgekit.converters.prune import Prune
from edgekit.converters.recipe import Recipe
from edgekit.converters.scores import Score
from edgekit.converters.seal import seal
from edgekit.converters.stepping import Done, Standing, Workplace, run_steps, start_key
from edgekit.converters.steps import Progress
from edgekit.converters.variants import Variants, again_in_int8, make_variants
from edgekit.converters.weights import write_weights

_SEALING = "exporting, quantizing and evaluating"


@dataclass(frozen=True, eq=False)
class Built:
    """A bundle that is ready to be written, and the gate's word on it.

    steps: what came of each step on the model; start: how it stood before the first. variants: each artifact with its
    score. module: the model that they were made of; INT8 that had to be trained for is of the last step's.
    """

    opened: Opened
    manifest: Manifest
    files: Mapping[str, bytes]
    verdict: Verdict
    module: nn.Module
    score: Score
    variants: Variants
    start: Standing
    steps: tuple[Done, ...] = ()

    def allowing(self, what: str) -> Built:
        """The same with a note in its evidence, for ever, that somebody allowed `what` the gate did not."""
        return replace(self, manifest=_noting(self.manifest, [what]))

    def write_weights(self, path: Path | str) -> None:
        """The model as its steps left it, in the names of the caller's own module, as safetensors."""
        write_weights(self.module.model if isinstance(self.module, RawOutputs) else self.module, Path(path))

    def write(self, path: Path | str, measured: Mapping[str, Any] | None = None) -> str:
        """Write the bundle to `path`, whole or not at all; returns its digest."""
        return write_bundle(path, self.manifest, self.files, measured)


def build(
    recipe: Recipe, progress: Progress | None = None, finished: Path | None = None, allow: Collection[str] = ()
) -> Built:
    """Run a recipe from end to end. Raises EdgekitError with the step's own words where one cannot be done.

    finished: a folder that keeps what each step on the model has made, for the next build; None keeps nothing.
    allow: codes of what the calibration audit would refuse. The verdict is the worst of all variants': it is the
    caller's business not to ship a bundle that did not pass.
    """
    tell = progress or (lambda stage, done, total: None)
    check_codes(allow)
    opened = open_recipe(recipe)
    audited = _audit(opened, allow, tell)
    evaluator = Evaluator(recipe, opened.labels, opened.loaded.head, opened.pictures["evaluation"], tell)
    calibration = opened.pictures.get("calibration")
    with _kept(finished) as shelf:
        place = Workplace(opened, start_key(opened), evaluator.score_of, shelf, tell)
        module, steps, start = run_steps(place, recipe.model_steps)
        judge_of = Judge(evaluator, module, steps[-1].after.score if steps else start.score)
        with enough_memory(_SEALING):
            variants = make_variants(recipe, module, calibration, judge_of, tell)
        compression = _compression(recipe, steps, start)
        if variants.failed_int8 and (aware := recipe.aware_step) is not None:
            trained, steps, _ = run_steps(place, (*recipe.model_steps, aware))
            with enough_memory(_SEALING):
                variants = again_in_int8(variants, recipe, trained, calibration, judge_of, tell)
    verdicts = {} if compression is None else {"compression": compression}
    verdicts |= {name: each.verdict for name, each in variants.judged.items()}
    manifest, files = seal(opened, judge_of, variants.judged, steps, start, compression, audited)
    found = () if audited is None else audited.findings
    manifest = _noting(manifest, (each.code for each in found if each.refused))
    return Built(opened, manifest, files, all_of(verdicts), module, judge_of.score, variants, start, steps)


@contextmanager
def _kept(folder: Path | None) -> Iterator[Finished]:
    """The finished steps in `folder`, for this build alone; in one that goes with the build where none is named."""
    with ExitStack() as stack:
        shelf = Finished(folder or Path(stack.enter_context(TemporaryDirectory(prefix="edgekit-steps-"))))
        stack.enter_context(shelf.locked())
        yield shelf


def _audit(opened: Opened, allow: Collection[str], tell: Progress) -> Audit | None:
    """What is wrong with the pictures that the build learns and calibrates by; `DataError` for what is refused."""
    pictures = opened.pictures
    others = {name: pictures[name] for name in ("training", "validation") if name in pictures}
    calibration = pictures.get("calibration")
    if calibration is None and not others:
        return None
    found = audit(calibration, pictures["evaluation"], others, opened.recipe.input, opened.labels, tell)
    found.check(allow)
    return found


def _noting(manifest: Manifest, allowed: Iterable[str]) -> Manifest:
    evidence = replace(manifest.evidence, allowed=(*manifest.evidence.allowed, *allowed))
    return replace(manifest, evidence=evidence)


def _compression(recipe: Recipe, steps: tuple[Done, ...], start: Standing) -> Verdict | None:
    """The model after its steps against what it was before the first Prune."""
    if recipe.compression is None:
        return None
    first = next(i for i, each in enumerate(steps) if isinstance(each.step, Prune))
    before = steps[first - 1].after if first else start
    return judge(before.score, steps[-1].after.score, recipe.compression)
