"""Every path that is served: to machines that ask how it is, and to people."""

from __future__ import annotations

from urllib.parse import quote

import httpx2
import pytest
from starlette.testclient import TestClient

from edgekit.web.app import make_app


@pytest.fixture
def client(board) -> TestClient:
    return TestClient(make_app(board), base_url="http://127.0.0.1:8080")


def test_health_is_whether_the_supervisor_speaks(client, board, clock, status) -> None:
    assert client.get("/healthz").status_code == 503
    board.show({**status, "state": "stuck"})
    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"ok": True, "reasons": []})
    clock.now += 60
    stale = client.get("/healthz")
    assert stale.status_code == 503
    assert stale.json() == {"ok": False, "reasons": ["no status from the supervisor for 60.0 s"]}


def lost(status) -> None:
    for camera in status["cameras"].values():
        camera.update(state="LOST", reason="refused")


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda status: None, []),
        (lambda status: status.update(state="degraded", reasons=["too hot"]), []),
        (lambda status: status["cameras"]["door"].update(state="LOST"), []),
        (lambda status: status["engine"].update(state="degraded"), []),
        (lambda status: status.update(state="stuck", reasons=["nothing goes"]), ["the loop is stuck; nothing goes"]),
        (lambda status: status.update(state="starting"), ["the loop is starting"]),
        (
            lambda status: status["engine"].update(state="restarting", reason="no answer for 3 s"),
            ["the engine is restarting: no answer for 3 s"],
        ),
        (lost, ["no camera is LIVE", "camera 'shelf 3' is LOST: refused", "camera 'door' is LOST: refused"]),
    ],
)
def test_ready_is_whether_anything_can_be_recognised(client, board, status, change, reasons) -> None:
    change(status)
    board.show(status)
    answer = client.get("/readyz")
    assert answer.json() == {"ready": not reasons, "reasons": reasons}
    assert answer.status_code == (503 if reasons else 200)


def test_a_status_that_is_old_is_not_ready(client, board, clock, status) -> None:
    board.show(status)
    clock.now += 6
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["no status from the supervisor for 6.0 s"])


def test_the_status_says_how_old_it_is(client, board, clock, status) -> None:
    assert client.get("/api/status").status_code == 503
    board.show(status)
    clock.now += 1
    assert client.get("/api/status").json() == {**status, "status_age_s": 1.0}


def test_asking_for_a_picture_has_it_drawn(client, board, pictures, paint, status) -> None:
    board.show(status)
    none_yet = client.get("/camera/door.jpg")
    assert (none_yet.status_code, none_yet.content) == (204, b"")
    assert board.watching() == ("door",)
    pictures.held["door"] = paint(90)
    there = client.get("/camera/door.jpg?12")
    assert (there.status_code, there.headers["content-type"], there.content) == (200, "image/jpeg", paint(90))
    assert there.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["wall", "../door", "door/../../etc/passwd", "%2e%2e"])
@pytest.mark.parametrize("kind", [".jpg", "/live"])
def test_only_cameras_of_the_status_have_pictures(client, board, pictures, paint, status, name, kind) -> None:
    board.show(status)
    pictures.held["wall"] = paint(90)
    assert client.get(f"/camera/{name}{kind}").status_code == 404
    assert board.watching() == ()


def test_an_unknown_camera_is_answered_by_the_known_ones(client, board, status) -> None:
    assert client.get("/camera/wall.jpg").json() == {"error": "no camera named 'wall'; there are: none yet"}
    board.show(status)
    assert client.get("/camera/wall.jpg").json() == {"error": "no camera named 'wall'; there are: shelf 3, door"}


def test_a_camera_may_have_any_name_that_a_store_file_allows(serving, board, pictures, paint, status) -> None:
    name = "läden #1 <b>?&%2F\"'.jpg"
    status["cameras"] = {name: status["cameras"]["door"]}
    board.show(status)
    pictures.held[name] = paint(30)
    with serving(board) as url:
        assert httpx2.get(f"{url}/camera/{quote(name, safe='')}.jpg").content == paint(30)


def test_the_page_and_all_that_it_loads_come_from_the_box(client) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = [part.split('"')[0] for part in page.text.split("/page/")[1:]]
    assert set(loaded) == {"icon.svg", "page.css", "page.js"}
    scripts = ["page.js"]
    for name in scripts:
        text = client.get(f"/page/{name}").text
        scripts += [part.split('"')[0] for part in text.split('from "./')[1:] if part.split('"')[0] not in scripts]
        assert not any(word in text for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "://"))
    assert set(scripts) == {"page.js", "cameras.js", "events.js", "panels.js", "text.js"}


@pytest.mark.parametrize("name", ["nothing.js", "../app.py", "..%2fapp.py", "", "page"])
def test_nothing_but_the_page_s_own_files_is_served(client, name) -> None:
    assert client.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("settings", [{"most_streams": 0}, {"live_fps": 0}, {"live_fps": 31}])
def test_settings_that_make_no_sense_are_refused(board, settings) -> None:
    with pytest.raises(ValueError, match="most_streams must be at least 1, live_fps above 0"):
        make_app(board, **settings)
