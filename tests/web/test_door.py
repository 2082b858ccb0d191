"""Who is let in, and what every answer carries."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from edgekit.secret import Secret
from edgekit.web.app import make_app
from edgekit.web.door import COOKIE, SESSION_S, Key, is_loopback_name

TOKEN = "bF3kQ9-wmZ7_xY2p"
GUARDED = [
    "/api/status",
    "/api/events",
    "/metrics",
    "/readyz",
    "/camera/door.jpg",
    "/camera/door/live",
    "/no-such-page",
]


@pytest.fixture
def client(board, status) -> TestClient:
    board.show(status)
    return TestClient(make_app(board, TOKEN), base_url="http://box.lan:8080", follow_redirects=False)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}=9999999999."},
        {"Cookie": f"{COOKIE}=9999999999.{'0' * 64}"},
        {"Cookie": "=;,{COOKIE}"},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_without_the_token_nothing_is_told(client, path, headers) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="edgekit"'
    assert answer.json() == {"error": "a token is needed: Authorization: Bearer <token>"}


@pytest.mark.parametrize("path", ["/api/status", "/metrics", "/readyz"])
def test_a_program_shows_the_token_in_its_header_and_never_in_the_address(client, path) -> None:
    assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get(path, params={"token": TOKEN}).status_code == 401


def test_whether_it_is_alive_anybody_may_ask_but_no_more_than_that(client, board, clock) -> None:
    clock.now += 60
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert not any(name in answer.text for name in ("door", "shelf", "cart"))


def test_a_browser_logs_in_by_the_form_and_gets_a_session_that_does_not_tell_the_token(client) -> None:
    assert client.get("/").headers["location"] == "/login"
    assert client.get("/login").status_code == 200
    assert client.get("/page/page.css").status_code == 200
    entered = client.post("/login", data={"token": f" {TOKEN} "})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_S}"))
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200
    assert client.get("/api/status").status_code == 200
    left = client.post("/logout")
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert client.get("/api/status").status_code == 401


@pytest.mark.parametrize("form", [{"token": "wrong"}, {"token": ""}, {}, {"token": TOKEN + "x" * 5000}])
def test_a_wrong_token_is_said_to_be_wrong(client, form) -> None:
    assert 'id="refused" hidden' in client.get("/login").text
    refused = client.post("/login", data=form)
    assert refused.status_code == 401
    assert 'id="refused" hidden' not in refused.text
    assert "set-cookie" not in refused.headers


def test_a_session_ends_by_itself_and_with_its_token() -> None:
    now = [1_795_250_000.0]
    key = Key(TOKEN, wall=lambda: now[0])
    session = key.session()
    assert key.is_session(session)
    assert Key(TOKEN, wall=lambda: now[0]).is_session(session), "a box that was started anew knows it"
    assert not Key(TOKEN[::-1], wall=lambda: now[0]).is_session(session)
    later = f"{int(session.split('.')[0]) + 1}.{session.split('.')[1]}"
    assert not key.is_session(later), "nobody prolongs it"
    now[0] += SESSION_S
    assert not key.is_session(session)


@pytest.mark.parametrize("token", ["", "short", "fifteen-letters", "with a space in it", "schlüssel-für-alle-türen"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(board, token) -> None:
    with pytest.raises(ValueError, match="a token has at least 16 letters") as refused:
        make_app(board, token)
    assert not token or token not in str(refused.value)


def test_a_token_may_be_named_by_its_place(board, status, monkeypatch) -> None:
    monkeypatch.setenv("BOX_TOKEN", TOKEN)
    board.show(status)
    client = TestClient(make_app(board, Secret("env:BOX_TOKEN")))
    assert client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/api/status", headers={"Authorization": "Bearer env:BOX_TOKEN"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST:9000", True),  # through a tunnel
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8080", False),
        ("localhost.evil.example", False),
        ("[::1].evil.example", True),  # no browser sends that: it is no host name
        ("10.0.0.5:8080", False),
        ("", False),
    ],
)
def test_without_a_token_only_loopback_names_are_answered(board, host, local) -> None:
    assert is_loopback_name(host) == local
    answer = TestClient(make_app(board)).get("/page/page.css", headers={"Host": host})
    assert answer.status_code == (200 if local else 421)


@pytest.mark.parametrize(
    ("fetch", "status_code"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 204),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 204),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 204),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
    ],
)
def test_another_site_s_page_gets_no_picture_out_of_a_visitor_s_browser(board, status, fetch, status_code) -> None:
    board.show(status)
    client = TestClient(make_app(board), base_url="http://localhost")
    assert client.get("/camera/door.jpg", headers=fetch).status_code == status_code


@pytest.mark.parametrize("path", ["/", "/login", "/healthz", "/api/status", "/no-such-page", "/page/page.js"])
def test_every_answer_is_told_to_load_and_run_nothing_but_the_box_s_own(client, path) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
