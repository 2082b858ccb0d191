"""Real child processes: heard without waiting, told apart by how they end, and killed whatever they are stuck in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from edgekit.supervisor.children import Process

# A child of the supervisor's kind that does as it is told.
CHILD = """
import os, signal, sys, time
from edgekit.supervisor.channel import Channel, Gone
from edgekit.supervisor.child import begin

def main(fd, *rest):
    begin("test")
    channel = Channel.open(fd)
    seen = {name: os.environ.get(name, "") for name in ("TAG", "MQTT_PASSWORD", "OPENBLAS_NUM_THREADS")}
    channel.send({"kind": "ready", "pid": os.getpid(), "fds": rest, **seen}, wait=True)
    while True:
        order = channel.receive(None)
        kind = order["kind"]
        if kind == "say":
            print(order["words"], file=sys.stderr, flush=True)
        elif kind == "flood":
            for number in range(order["times"]):
                channel.send({"kind": "flood", "number": number}, wait=True)
            continue
        elif kind == "print":
            print("engine banner", flush=True)
        elif kind == "exit":
            sys.exit(order["status"])
        elif kind == "raise":
            raise RuntimeError(order["words"])
        elif kind == "deaf":
            channel.close()
            time.sleep(60)
        elif kind == "pass on":
            os.write(rest[0], order["words"].encode())
        channel.send({"kind": "done"}, wait=True)

main(*map(int, sys.argv[1:]))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    (tmp_path / "obedient.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    children: list[Process] = []

    def start(fds=(), hidden=()) -> Process:
        child = Process("obedient", fds, hidden)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait(10)


def hear(child: Process, within_s: float = 20.0) -> list[dict]:
    """What it says next."""
    until = time.monotonic() + within_s
    while not (messages := child.receive()):
        assert time.monotonic() < until, child.ended()
        select.select(child.filenos(), [], [], 0.1)
    return messages


def end(child: Process, within_s: float = 20.0) -> str:
    until = time.monotonic() + within_s
    while (words := child.ended()) is None:
        child.receive()
        assert time.monotonic() < until
        time.sleep(0.01)
    return words


def test_a_child_is_told_and_answers_and_sees_no_password(start, monkeypatch):
    monkeypatch.setenv("TAG", "blue")
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    child = start(hidden=["MQTT_PASSWORD"])
    (ready,) = hear(child)
    assert (ready["kind"], ready["pid"], ready["TAG"], ready["MQTT_PASSWORD"]) == ("ready", child.pid, "blue", "")
    assert child.send({"kind": "print"})
    assert hear(child) == [{"kind": "done"}]
    assert child.ended() is None


@pytest.mark.parametrize(("ours", "its"), [(None, "1"), ("3", "3")])
def test_a_child_has_no_threads_for_products_of_matrices_unless_they_were_asked_for(start, monkeypatch, ours, its):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if ours is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", ours)
    (ready,) = hear(start())
    assert ready["OPENBLAS_NUM_THREADS"] == its


def test_a_child_gets_the_descriptors_that_it_was_promised(start):
    reading, writing = os.pipe()
    child = start([writing])
    assert hear(child)[0]["fds"] == [writing]
    child.send({"kind": "pass on", "words": "by the pipe"})

    assert os.read(reading, 100) == b"by the pipe"
    os.close(reading)
    os.close(writing)


def test_what_an_engine_prints_does_not_reach_our_stdout(start, capfd):
    child = start()
    hear(child)
    child.send({"kind": "print"})
    hear(child)

    assert "banner" not in capfd.readouterr().out


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_child_that_is_killed_says_by_what(start, name):
    child = start()
    hear(child)
    os.kill(child.pid, signal.Signals[name])

    assert end(child).startswith(f"its process was killed by {name}")


def test_a_child_that_ends_says_with_what_status_and_its_last_words(start):
    child = start()
    hear(child)
    child.send({"kind": "raise", "words": "no such model"})

    assert end(child) == "its process ended with exit status 1: RuntimeError: no such model"


SECRETS = [
    "cannot open rtsp://clerk:hunter2@10.0.0.7/live",
    "cannot open rtsp://10.0.0.7/live?user=clerk&password=hunter2 at all",
    "rtspsrc location=rtsp://10.0.0.7/live password=hunter2",
]


@pytest.mark.parametrize("words", SECRETS)
def test_last_words_hold_no_address_and_no_password(start, words):
    child = start()
    hear(child)
    child.send({"kind": "raise", "words": words})
    last = end(child)

    assert "RuntimeError" in last
    assert "hunter2" not in last
    assert "10.0.0.7" not in last


def test_what_was_said_before_the_end_is_heard_after_it(start):
    child = start()
    hear(child)
    child.send({"kind": "flood", "times": 100})
    child.send({"kind": "exit", "status": 3})
    heard = []
    while len(heard) < 100:
        heard += hear(child)

    assert [message["number"] for message in heard] == list(range(100))
    assert end(child).startswith("its process ended with exit status 3")


def test_a_flood_does_not_keep_the_supervisor_from_its_other_children(start):
    child = start()
    hear(child)
    child.send({"kind": "flood", "times": 5000})
    heard = 0
    while heard < 5000:
        messages = hear(child)
        assert len(messages) <= 256
        heard += len(messages)


def test_a_child_that_closes_its_ear_and_lives_on_has_ended_after_a_moment(start):
    child = start()
    hear(child)
    child.send({"kind": "deaf"})

    assert end(child) == "its process no longer listens"
    assert not child.send({"kind": "print"})
    assert list(child.filenos()) == []


def test_a_child_that_is_stopped_can_be_sent_to_without_waiting_and_killed(start):
    child = start()
    hear(child)
    os.kill(child.pid, signal.SIGSTOP)
    began = time.monotonic()
    while child.send({"kind": "look", "filler": "x" * 10_000}):
        pass
    child.kill()
    child.wait(10)

    assert time.monotonic() - began < 5
    assert child.ended() == "its process was killed by SIGKILL"


def test_a_child_that_was_killed_and_is_stuck_in_a_driver_has_not_ended(start, monkeypatch):
    child = start()
    hear(child)
    with monkeypatch.context() as stuck:
        stuck.setattr(child._process, "poll", lambda: None)
        child.kill()
        assert child.ended() is None
        time.sleep(0.6)  # longer than one that no longer listens is waited for
        assert child.ended() is None
    child.wait(10)
    assert child.ended() == "its process was killed by SIGKILL"


def test_a_child_may_be_killed_twice_and_leaves_no_descriptor_and_no_process(start):
    before = len(os.listdir("/proc/self/fd"))
    child = start()
    hear(child)
    child.kill()
    child.kill()
    child.wait(10)

    assert len(os.listdir("/proc/self/fd")) == before
    assert not os.path.exists(f"/proc/{child.pid}")
    assert child.receive() == []
    assert not child.send({"kind": "print"})


def test_a_child_does_not_outlive_its_supervisor_even_one_that_hangs(tmp_path):
    (tmp_path / "obedient.py").write_text(CHILD)
    supervisor = (
        "import time\n"
        "from edgekit.supervisor.children import Process\n"
        "child = Process('obedient')\n"
        "while not child.receive(): time.sleep(0.01)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    running = subprocess.Popen(
        [sys.executable, "-c", supervisor], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    child = int(running.stdout.readline())
    os.kill(child, signal.SIGSTOP)  # it sees no end of any channel
    running.kill()
    running.wait()
    running.stdout.close()
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}"):
        if state(child) == "Z":  # whoever adopted it has not asked for it yet
            break
        assert time.monotonic() < until
        time.sleep(0.01)


def state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def test_a_child_that_was_silent_while_somebody_waited_is_not_asked_what_it_said(start):
    child = start()
    select.select(child.filenos(), [], [], 20)
    child.waited([])  # the wait was over before that
    assert child.receive() == []

    child.waited(child.filenos())
    assert [message["kind"] for message in child.receive()] == ["ready"]


def test_what_a_child_says_after_the_wait_and_dies_of_is_heard(start):
    child = start()
    child.waited([])
    assert child.receive() == []
    select.select(child.filenos(), [], [], 20)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child._polled_at = float("-inf")
    assert child.ended() is None
    assert [message["kind"] for message in child.receive()] == ["ready"]
    assert "SIGKILL" in child.ended()


def test_the_end_of_a_child_that_was_silent_is_seen_all_the_same(start):
    child = start()
    hear(child)
    os.kill(child.pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while (words := child.ended()) is None:
        assert time.monotonic() < until
        child.waited([])
        assert child.receive() == []

    assert "SIGKILL" in words
