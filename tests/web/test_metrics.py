"""What Prometheus reads, by its own parser."""

from __future__ import annotations

from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from edgekit.web.app import make_app
from edgekit.web.metrics import registry


def scraped(board) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = TestClient(make_app(board), base_url="http://localhost").get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_status_in_base_units(board, clock, status) -> None:
    board.show(status)
    clock.now += 0.5
    found = scraped(board)
    shelf = ("camera", "shelf 3")
    expected = {
        ("edgekit_up", ()): 1,
        ("edgekit_status_age_seconds", ()): 0.5,
        ("edgekit_info", (("device", "cart-7"), ("version", "0.1.0"))): 1,
        ("edgekit_state", (("state", "ok"),)): 1,
        ("edgekit_state", (("state", "stuck"),)): 0,
        ("edgekit_camera_state", (shelf, ("state", "LIVE"))): 1,
        ("edgekit_camera_state", (shelf, ("state", "LOST"))): 0,
        ("edgekit_camera_rate_hertz", (shelf,)): 9.9,
        ("edgekit_camera_answer_age_seconds", (shelf,)): 0.0485,
        ("edgekit_camera_frames_total", (shelf,)): 72_000,
        ("edgekit_camera_dropped_total", (shelf, ("reason", "overtaken"))): 990,
        ("edgekit_camera_notices_total", (shelf, ("kind", "size changed"))): 2,
        ("edgekit_engine_info", (("engine", "onnxruntime 1.31.1"), ("variant", "onnx-int8"))): 1,
        ("edgekit_engine_restarts_total", ()): 1,
        ("edgekit_stage_seconds", (("stage", "detect"),)): 0.018,
        ("edgekit_frame_seconds", ()): 0.025,
        ("edgekit_heat_celsius", ()): 61.5,
        ("edgekit_memory_available_bytes", ()): 2**30,
        ("edgekit_outbox_waiting_events", ()): 3,
        ("edgekit_sink_up", (("sink", "mqtt"),)): 0,
        ("edgekit_sink_acked_events_total", (("sink", "jsonl"),)): 500,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_what_is_not_known_is_absent_and_not_zero(board, status) -> None:
    status["engine"]["frame_ms"] = status["heat_c"] = status["memory_available_mb"] = status["outbox"]["oldest_s"] = (
        None
    )
    board.show(status)
    found = scraped(board)
    names = {name for name, _ in found}
    assert not names & {"edgekit_frame_seconds", "edgekit_heat_celsius", "edgekit_memory_available_bytes"}
    assert "edgekit_outbox_oldest_seconds" not in names
    assert ("edgekit_camera_answer_age_seconds", (("camera", "door"),)) not in found


def test_a_silent_supervisor_leaves_no_figure_that_looks_alive(board, clock, status) -> None:
    assert scraped(board) == {("edgekit_up", ()): 0, ("edgekit_web_streams", ()): 0}
    board.show(status)
    clock.now += 60
    assert scraped(board) == {
        ("edgekit_up", ()): 0,
        ("edgekit_status_age_seconds", ()): 60,
        ("edgekit_web_streams", ()): 0,
    }


def test_no_text_that_says_why_becomes_a_label(board, status) -> None:
    status["reasons"] = status["cameras"]["door"]["reason"] = status["engine"]["reason"] = "rtsp://10.0.0.7/stream"
    status["outbox"]["sinks"]["mqtt"]["reason"] = "10.0.0.7 refused"
    status["outbox"]["dropped"] = {"disk: full at /var/a": 2, "disk: full at /var/b": 3, "too old": 1}
    board.show(status)
    found = scraped(board)
    assert not any("10.0.0.7" in str(key) or "/var" in str(key) for key in found)
    assert found["edgekit_outbox_dropped_events_total", (("reason", "disk"),)] == 5


def test_names_cannot_break_out_of_their_label(board, status) -> None:
    name = 'x"} 1\nedgekit_up 0 \\'
    status["cameras"] = {name: status["cameras"]["door"]}
    board.show(status)
    found = scraped(board)
    assert found["edgekit_up", ()] == 1
    assert found["edgekit_camera_rate_hertz", (("camera", name),)] == 5


def test_openmetrics_finds_no_fault_in_names_and_units(board, status) -> None:
    board.show(status)
    text = generate_openmetrics(registry(board)).decode()
    assert len(list(parse_openmetrics(text))) == len(
        list(text_string_to_metric_families(generate_latest(registry(board)).decode()))
    )
