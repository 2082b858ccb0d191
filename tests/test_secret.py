"""A secret is read from its place and shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import SettingsError
from edgekit.secret import Secret


def test_each_place_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    monkeypatch.setenv("SHOP_PASSWORD", "hunter3")
    assert Secret(f"file:{tmp_path / 'password'}").read() == "hunter2"
    assert Secret("file:password").within(tmp_path).read() == "hunter2"
    assert Secret("env:SHOP_PASSWORD").within(tmp_path).read() == "hunter3"
    assert Secret("hunter:4").read() == "hunter:4"


def test_only_the_place_is_shown() -> None:
    assert repr(Secret("env:SHOP_PASSWORD")) == "Secret(env:SHOP_PASSWORD)"
    assert repr(Secret("hunter2")) == "Secret(***)"
    assert f"{Secret('hunter2')}" == "***"


@pytest.mark.parametrize("place", ["env:NO_SUCH_VARIABLE", "", "file:/nowhere/password"])
def test_a_secret_that_is_not_there_is_an_error_that_names_the_place(place: str) -> None:
    with pytest.raises(SettingsError, match=place or "there is no secret"):
        Secret(place).read()


def test_a_file_that_is_no_text_is_an_error_that_does_not_show_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"hunter2\xff")
    with pytest.raises(SettingsError, match="not UTF-8") as caught:
        Secret(f"file:{path}").read()
    assert caught.value.__cause__ is None
