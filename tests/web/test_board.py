"""What the board keeps: the newest status, each event once, and who is looked at."""

from __future__ import annotations

from edgekit.events import OBSERVATION
from edgekit.web.board import LINGER_S, Board


def test_the_newest_status_is_shown_and_ages(board, clock, status) -> None:
    assert (board.status, board.age_s(), board.cameras(), board.version) == (None, None, (), 0)
    board.show(status)
    clock.now += 2
    assert (board.status, board.age_s(), board.cameras(), board.version) == (status, 2.0, ("shelf 3", "door"), 1)


def test_a_supervisor_that_says_nothing_is_not_believed(board, clock, status) -> None:
    clock.now += 1.5
    assert board.silence() == "no status from the supervisor yet, after 1.5 s"
    board.show(status)
    clock.now += board.stale_s
    assert board.silence() is None
    clock.now += 0.1
    assert board.silence() == "no status from the supervisor for 5.1 s"
    board.show(status)
    assert board.silence() is None


def test_an_event_that_comes_twice_is_kept_once(board, status, event) -> None:
    first, second = event(state="LOST"), event(state="LIVE")
    board.add([first])
    board.show({**status, "recent_events": [first, second]})
    assert board.events_after(0) == (2, [first, second])
    assert board.events_after(1) == (2, [second])
    assert board.events_after(2) == (2, [])


def test_a_flood_of_observations_does_not_wash_away_what_happened_to_a_camera(board, event) -> None:
    lost = event(state="LOST")
    board.add([lost])
    board.add([event("door", OBSERVATION, counts={"bottle": n}) for n in range(5000)])
    _, kept = board.events_after(0)
    assert kept[0] == lost
    assert [each["data"]["counts"]["bottle"] for each in kept[1:]] == list(range(4950, 5000))


def test_a_camera_is_watched_while_a_stream_is_open_and_for_a_moment_after_a_picture(board, clock) -> None:
    with board.watch("door"), board.watch("door"):
        board.picture("shelf 3")
        assert (board.watching(), board.streams) == (("door", "shelf 3"), 2)
        clock.now += LINGER_S + 0.1
        assert board.watching() == ("door",)
    assert (board.watching(), board.streams) == ((), 0)


def test_the_clock_of_the_board_may_begin_anywhere() -> None:
    assert Board(lambda camera: None, clock=lambda: -5.0).age_s() is None
