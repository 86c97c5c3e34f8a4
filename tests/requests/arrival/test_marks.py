"""By what a file is known again."""

import os
from dataclasses import replace
from pathlib import Path

from exporter.requests.arrival.marks import Mark, head_digest


def test_a_file_of_which_nothing_was_read_is_known_by_device_and_inode_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a line\n")
    with log.open() as file:
        stat = os.fstat(file.fileno())
        mark = Mark.of_unread(str(log), str(log), stat)
        assert mark.fits(file.fileno(), stat)
        assert not replace(mark, device=mark.device + 1).fits(file.fileno(), stat)


def test_a_file_of_which_the_beginning_is_known_may_be_on_a_device_of_another_number(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a line\n")
    with log.open() as file:
        stat = os.fstat(file.fileno())
        mark = Mark.of_unread(str(log), str(log), stat)
        known = replace(mark, device=mark.device + 1, head_bytes=4, head=head_digest(file.fileno(), 4))
        assert known.fits(file.fileno(), stat)
        assert not replace(known, inode=known.inode + 1).fits(file.fileno(), stat)
        assert not replace(known, head=head_digest(file.fileno(), 5)).fits(file.fileno(), stat)


def test_a_file_that_cannot_be_looked_into_was_not_truncated_for_all_we_know(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a line\n")
    mark = Mark.of_unread(str(log), str(log), log.stat())
    log.unlink()
    assert not mark.was_truncated()


def test_a_file_of_which_nothing_was_read_is_found_in_no_copy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a line\n")
    (tmp_path / "log.1").write_text("anybody's line\n")
    assert Mark.of_unread(str(log), str(log), log.stat()).in_a_copy() is None
