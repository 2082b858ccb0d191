"""The manifest and the files of a bundle, from what a build found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit import schema
from edgekit.bundle import CLASSES, Evidence, Manifest, StepEvidence, Variant, canonical, golden_files
from edgekit.converters.calibrate import Audit
from edgekit.converters.export import Exported
from edgekit.converters.gate import Verdict
from edgekit.converters.judging import Judge, Judged, precision_of
from edgekit.converters.opened import Opened
from edgekit.converters.stepping import Done, Standing
from edgekit.converters.versions import tools


def seal(
    opened: Opened,
    judge: Judge,
    judged: Mapping[str, Judged],
    steps: Sequence[Done],
    start: Standing,
    compression: Verdict | None,
    audited: Audit | None,
) -> tuple[Manifest, dict[str, bytes]]:
    """start: the model before the first step. audited: the pictures to learn and calibrate by, where there are some."""
    files: dict[str, bytes] = golden_files(judge.golden)
    variants = []
    for name, each in judged.items():
        variant = _variant(name, each.exported)
        variants.append(variant)
        files[variant.model] = each.exported.artifact.model
        if variant.weights is not None:
            files[variant.weights] = each.exported.artifact.weights
    scores = {"framework": judge.score} | {name: each.score for name, each in judged.items()}
    files[CLASSES] = canonical({name: schema.dump(score)["classes"] for name, score in scores.items()})
    evidence = Evidence(
        images=judge.score.images,
        framework=judge.score.figures(),
        variants={name: each.evidence for name, each in judged.items()},
        data={name: each.digest() for name, each in opened.pictures.items()},
        tools=tools(),
        loaded=opened.loaded.notes,
        start=start.score.figures() if steps else {},
        steps=tuple(_step(each) for each in steps),
        compression=() if compression is None else compression.reasons,
        audit={} if audited is None else dict(audited.figures),
        warnings=() if audited is None else tuple(map(str, audited.findings)),
    )
    manifest = Manifest(
        name=opened.recipe.name,
        release=opened.recipe.release,
        input=opened.recipe.input,
        head=opened.loaded.head,
        labels=opened.labels,
        variants=tuple(variants),
        evidence=evidence,
        golden=len(judge.golden),
    )
    return manifest, files


def _variant(name: str, exported: Exported) -> Variant:
    artifact, ending = exported.artifact, {"onnx": "onnx", "openvino": "xml", "tflite": "tflite"}
    return Variant(
        name=name,
        format=artifact.format,
        precision=precision_of(name),
        input=exported.input,
        model=f"{name}/model.{ending[artifact.format]}",
        weights=f"{name}/model.bin" if artifact.weights else None,
    )


def _step(done: Done) -> StepEvidence:
    settings = schema.dump(done.step)
    return StepEvidence(
        kind=settings.pop("kind"),
        settings=settings,
        figures=dict(done.entry.figures),
        accuracy=done.after.score.figures(),
        macs=done.after.macs,
        parameters=done.after.parameters,
        notes=done.entry.notes,
    )
