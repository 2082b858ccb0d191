"""The page about a measurement: it shows what its scenario measured, hides no stall, and says what is not known."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace

import pytest
from tiny import golden_bundle

from edgekit.benchmarks.baselines import against_baseline
from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.report import markdown, page, sections
from edgekit.benchmarks.report.plots import density, histogram, tail
from edgekit.benchmarks.report.series import Series, all_series, stages
from edgekit.benchmarks.report.timeline import timeline, unknown
from edgekit.benchmarks.result import Executed, Frames, Result, Start, Window
from edgekit.benchmarks.result_schema import PATH, schema_text
from edgekit.benchmarks.scenario import Camera, ColdStart, SingleStream, Streams, Sustained
from edgekit.benchmarks.table import columns
from edgekit.benchmarks.table import rows as table_rows
from edgekit.benchmarks.watch import Look, Validity
from edgekit.bundle import Bundle
from edgekit.measure import Samples
from edgekit.page import render

HOST = Environment("aarch64", "Raspberry Pi 5", 4, 4, ("asimddp",), 8192, None, (), {}, 0.1, "Linux", {"numpy": "2"})
STALL_MS = 300.0


@dataclass(frozen=True)
class Judged:
    variant: str = "onnx-int8"
    outcome: str = "INCONCLUSIVE"
    findings: tuple[str, ...] = ()


def executed(variant="onnx-int8", **measured):
    return Executed(variant, "onnxruntime 1.31.1", "cpu", "f32", 1, False, **measured)


def samples(count=1000, ms=2.0):
    taken = tuple(ms + i % 7 / 100 for i in range(count))
    return Samples(taken, tuple(each * 0.99 for each in taken), (9.0,), 10)


def camera_frames(count=1000, fps=15, stall_at=None):
    frame = [10 + i % 5 / 10 for i in range(count)]
    if stall_at is not None:
        frame[stall_at] = STALL_MS
    stages_ms = {
        "capture": tuple([1.0] * count),
        "detect": tuple([6.0] * count),
        "classify": tuple(8.0 if i % 4 == 0 else 0.0 for i in range(count)),
    }
    at = tuple((i + 1) / fps for i in range(count))
    return Frames(at, tuple(frame), tuple(frame), tuple(each + 3 for each in frame), stages_ms, count + 9, 9)


def looks(**more):
    return tuple(Look(float(i), **more) for i in range(1, 6))


def result(scenario, *variants, **more):
    return Result("cart", "ab" * 32, "generic", "2026-11-26T01:00:00+00:00", scenario, HOST, variants, **more)


SINGLE = result(SingleStream(), executed(engine_only=samples(), whole=samples(ms=2.5)))
CAMERA = result(Camera(), executed(frames=camera_frames()), looks=looks(mhz=(2400.0,)))
STREAMS = result(Streams(), executed(streams=1, windows=(Window(1, (15.0,), True), Window(2, (9.0, 10.0), False))))
COLD = result(ColdStart(), executed(starts=(Start(1.0, 0.3, 0.2, 0.8, 90.0), Start(1.2, 0.3, 0.2, 0.8, 95.0))))
SUSTAINED = result(Sustained(fps=15), executed(frames=camera_frames(9000)))


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        (SINGLE, ["latency"]),
        (CAMERA, ["latency", "frames", "from frame to event"]),
        (STREAMS, ["stream density"]),
        (COLD, ["cold start"]),
        (SUSTAINED, ["latency", "frames", "from frame to event"]),
    ],
    ids=lambda each: each.scenario.kind if isinstance(each, Result) else "",
)
def test_a_page_shows_what_its_scenario_measured_and_nothing_else(measured, shown):
    titles = [each.title for each in sections(measured)]
    assert titles == [f"cart: {title}" for title in ("standing", *shown, "the host meanwhile", "how it ran")]
    assert not re.search(r'(src|href)="(?!#|data:)|url\(|@import|<script', page(measured)), "something is fetched"


def test_a_scenario_that_measured_nothing_yet_still_gives_a_page():
    nothing = executed(frames=Frames((), (), (), (), {}, 3, 3))
    assert "VALID" in page(result(Camera(), nothing))
    assert "100.00%" in markdown(result(Sustained(), nothing))
    assert "VALID" in page(result(Streams(), executed(streams=0, windows=())))


def test_one_stall_in_a_thousand_frames_is_seen_in_every_plot():
    series = all_series(result(Camera(), executed(frames=camera_frames(stall_at=500))))[:1]
    bars = re.findall(r"<title>(\d+) of 1000 about ([\d.e+]+) ms</title>", histogram(series))
    assert sum(int(count) for count, _ in bars) == 1000
    assert [(int(count), float(ms)) for count, ms in bars][-1] == (1, pytest.approx(STALL_MS, rel=0.05))

    path = re.search(r'd="([^"]*H[^"]*)" class="hue0"', tail(series))[1]
    *_, usual, last = (float(x) for x in re.findall(r"H([\d.]+)", path))
    assert last - usual > 100, "the tail does not reach the stall by a step of its own"

    drawn = {stall: timeline([executed(frames=camera_frames(stall_at=stall))], ()) for stall in (None, 500)}
    assert drawn[None] != drawn[500]
    assert ">200<" in drawn[500], "the axis does not reach the stall"


def test_a_percentile_that_too_few_samples_stand_behind_is_not_measured():
    (row,) = sections(result(SingleStream(), executed(engine_only=samples(129))))[1].blocks[0].rows
    assert row[:5] == ["onnx-int8, engine", "129", "2.03", "2.06", "not measured"]
    (row,) = sections(result(SingleStream(), executed(engine_only=samples(130))))[1].blocks[0].rows
    assert row[4] == "2.06"


def test_sections_in_a_page_of_ones_own_say_as_well_that_they_do_not_count():
    standing = sections(replace(SINGLE, validity=Validity(("throttled at 71 s",))))[0]
    assert "INVALID" in render("", "", [standing])


def test_whether_it_counts_stands_first_with_every_reason():
    validity = Validity(("throttled at 71 s",), ("the governor is ondemand",), ("a busy host",))
    measured = replace(SINGLE, validity=validity, not_run={"tflite-int8": "litert is not installed"})
    text = page(measured, verdicts=[Judged(findings=("INCONCLUSIVE: p99_ms 21 ms",))])

    top = text[: text.index("Latency</h2>")]
    assert '<b class="INVALID">INVALID</b>' in top
    assert '<b class="INCONCLUSIVE">INCONCLUSIVE</b>' in top
    for said in (*validity.invalid, *validity.warnings, *validity.allowed, "litert is not installed", "p99_ms 21 ms"):
        assert said in top
    assert '<b class="VALID">VALID</b>' in page(SINGLE)
    assert "nobody watched the host" in page(SINGLE)
    assert "nothing was seen against it" in page(CAMERA)


def test_no_name_from_outside_becomes_markup():
    hostile = "<script>alert(1)</script>|"
    variant = replace(executed(hostile, frames=camera_frames(50)), engine=hostile)
    measured = replace(
        result(Camera(), variant, looks=looks(temperatures_c={hostile: 50.0}, power_w={hostile: 3.0})),
        bundle=hostile,
        source=hostile,
        not_run={hostile: hostile},
        validity=Validity((hostile,), (hostile,), (hostile,)),
    )
    assert "<script" not in page(measured, verdicts=[Judged(hostile, findings=(hostile,))])
    assert "<script" not in markdown(measured)


def test_the_front_takes_its_accuracy_from_the_bundle_that_was_measured(tmp_path):
    with Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as bundle:
        names = [each.name for each in bundle.manifest.variants]
        variants = [executed(name, engine_only=samples(ms=2.0 + i)) for i, name in enumerate(names)]
        measured = replace(result(SingleStream(), *variants), digest=bundle.digest)
        (plot,) = next(
            each.blocks for each in sections(measured, bundle) if each.title.endswith("accuracy against latency")
        )
        assert [f"{name}: {2.03 + i:g}, 0.5000" in plot.svg for i, name in enumerate(names)] == [True, True]

        with pytest.raises(ValueError, match="is not what was measured"):
            page(SINGLE, bundle)


def test_what_is_known_of_the_model_stands_beside_the_result_with_its_source():
    measured = replace(SINGLE, profile="raspberry-pi-5")
    text = page(measured, beside=against_baseline(measured, "MobileNetV2", "224x224"))
    assert "learn.arm.com" in text
    assert "no verdict" in text
    assert "no verdict" not in page(measured)


def test_what_the_host_does_not_tell_is_unknown_and_not_drawn():
    blind, seeing = (
        looks(temperatures_c={"cpu": None}),
        looks(temperatures_c={"cpu": 61.0}, mhz=(2400.0,), throttled=()),
    )
    assert {"temperature", "clock", "throttling"} <= set(unknown(blind))
    assert not {"temperature", "clock", "throttling"} & set(unknown(seeing))
    assert timeline([], blind) == ""
    assert "cpu: 61" in timeline([], seeing)
    assert "not watched while it was measured" in page(SINGLE)
    assert '<td class="words">governor</td><td class="words">unknown</td>' in page(SINGLE)


def test_where_the_firmware_throttled_there_is_a_band_over_all_tracks():
    host = (Look(1.0, (2400.0,)), Look(2.0, (1500.0,), throttled=("under-voltage",)), Look(3.0, (2400.0,)))
    assert timeline([], host).count("<title>under-voltage</title>") == 1


def test_a_line_over_time_breaks_where_another_variant_had_its_turn():
    whole, frames = camera_frames(300), camera_frames(300)
    parted = replace(frames, at_s=tuple(at + (at > 10) * 60 for at in frames.at_s))
    breaks = [timeline([executed(frames=each)], ()).count("h.1M") for each in (whole, parted)]
    assert breaks == [0, 1]


def test_the_stages_of_a_frame_add_up_to_the_frame():
    variant = executed(frames=camera_frames())
    found = stages(variant)
    assert [each.name for each in found] == ["capture", "detect", "classify", "between"]
    assert sum(each.mean_ms for each in found[1:]) == pytest.approx(sum(variant.frames.frame_ms) / 1000)
    assert [each.ran for each in found[1:3]] == [1, 0.25]


def test_the_two_ends_of_a_sustained_load_stand_in_the_table_with_their_ratio():
    frames = camera_frames(9000)
    slower = tuple(ms * (1.5 if at > 500 else 1) for at, ms in zip(frames.at_s, frames.frame_ms, strict=True))
    shown = page(result(Sustained(fps=15), executed(frames=replace(frames, frame_ms=slower))))
    assert "<td>1.50</td>" in shown


def test_the_headline_of_a_sustained_load_is_that_of_its_end():
    frames = camera_frames(9000)
    slower = tuple(ms * (4 if at > 520 else 1) for at, ms in zip(frames.at_s, frames.frame_ms, strict=True))
    found = result(Sustained(fps=15), executed(frames=replace(frames, frame_ms=slower)))

    assert "40.80 ms" in page(found)
    assert "frame to event</td><td>901</td><td>40.8" in page(found)
    assert dict(zip(columns(found), table_rows(found)[0], strict=True))["p50"] == "40.80"


def test_a_search_that_ended_at_its_limit_found_no_capacity():
    full = result(Streams(most=4), executed(streams=4, windows=(Window(4, (15.0,) * 4, True),)))
    assert "4 or more" in page(full)
    assert "4 or more" not in page(replace(full, scenario=Streams(most=5)))


def test_windows_that_held_their_rate_are_full_and_others_hollow():
    drawn = density([("onnx-int8", STREAMS.variants[0].windows)], 15, 0.95)
    assert re.findall(r'fill-opacity="(\d)"><title>onnx-int8: (\d) cameras', drawn) == [("1", "1"), ("0", "2")]


@pytest.mark.parametrize("values", [(0.0, 0.0), (5.0,), (1e-6, 1e6)])
def test_strange_times_are_drawn_all_the_same(values):
    series = [Series("a", "engine", values)]
    for drawn in (histogram(series), tail(series)):
        assert "nan" not in drawn
        assert "inf" not in drawn


@pytest.mark.parametrize("measured", [SINGLE, CAMERA, STREAMS, COLD, SUSTAINED], ids=lambda each: each.scenario.kind)
def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(measured):
    text = markdown(measured)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for rows in tables:
        assert len({row.count("|") for row in rows}) == 1
    assert text.startswith("**VALID**")


def test_the_published_schema_is_what_the_classes_give():
    assert PATH.read_text(encoding="utf-8") == schema_text(), "run python -m edgekit.benchmarks.result_schema"


@pytest.mark.parametrize("measured", [SINGLE, CAMERA, STREAMS, COLD, SUSTAINED], ids=lambda each: each.scenario.kind)
def test_a_result_is_what_the_published_schema_says(measured):
    schema, held = json.loads(PATH.read_text(encoding="utf-8")), json.loads(measured.text())
    assert faults(held, schema, schema) == []
    assert faults(held | {"digest": 5}, schema, schema)
    assert faults(held | {"more": 5}, schema, schema)
    assert faults(held | {"scenario": {"kind": "burst"}}, schema, schema)


KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def faults(value, schema, root):
    """What is wrong with a value by the part of JSON Schema that the published file uses."""
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    any_of = schema.get("anyOf") or schema.get("oneOf")
    if any_of:
        return [] if any(not faults(value, each, root) for each in any_of) else [f"{value!r} is none of them"]
    if "const" in schema and value != schema["const"]:
        return [f"{value!r} is not {schema['const']!r}"]
    kind = schema.get("type")
    if kind == "null":
        return [] if value is None else [f"{value!r} is not null"]
    if kind and (not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{value!r} is no {kind}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{value!r} is no JSON"]
    if kind == "array":
        places = schema.get("prefixItems") or [schema["items"]] * len(value)
        return [fault for each, at in zip(value, places, strict=True) for fault in faults(each, at, root)]
    if kind == "object":
        return _object_faults(value, schema, root)
    return []


def _object_faults(value, schema, root):
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        if name in known:
            found += faults(each, known[name], root)
        elif isinstance(others, dict):
            found += faults(each, others, root)
        elif not others:
            found.append(f"{name} is unknown")
    return found
