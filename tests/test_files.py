"""Files that are replaced: whole or not at all, and nothing that is no file."""

from __future__ import annotations

import os

import pytest

from edgekit.cli.show import check_place
from edgekit.errors import EdgekitError, SettingsError
from edgekit.files import write_text


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SettingsError, match="a device or a pipe, not a file to write"):
        check_place(pipe)
    with pytest.raises(EdgekitError, match="is no regular file to replace"):
        write_text(pipe, "text")
    assert pipe.is_fifo()


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    file, link = tmp_path / "disk" / "page.html", tmp_path / "latest.html"
    file.write_text("before")
    link.symlink_to(file)
    check_place(link)
    write_text(link, "after")
    assert link.is_symlink()
    assert file.read_text() == "after"
    assert os.listdir(tmp_path / "disk") == ["page.html"]


def test_a_link_into_a_folder_that_is_not_there_is_found_out_before_the_work(tmp_path):
    (tmp_path / "latest.html").symlink_to(tmp_path / "disk" / "page.html")
    with pytest.raises(SettingsError, match=r"there is no folder .*disk to write to"):
        check_place(tmp_path / "latest.html")
