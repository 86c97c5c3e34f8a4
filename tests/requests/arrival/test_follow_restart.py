"""After a restart reading goes on exactly where it stopped, whatever happened to the files meanwhile."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from exporter.domain.units import Instant
from exporter.requests.arrival import Bounds
from exporter.requests.arrival.follow import Follower
from tests.requests.arrival.arriving import Follow, set_modified, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def test_reading_goes_on_at_the_half_line_where_it_stopped(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n2\nha")
    assert follow.texts() == ["1", "2"]
    write(log, "lf\n3\n")
    follow.restart()
    assert follow.texts() == ["half", "3"]


def test_a_file_rotated_meanwhile_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    follow = Follow(log, start_at="end")
    write(log, "1\n")
    follow.texts()
    write(log, "2\n")
    log.rename(log.with_suffix(".20260101"))
    write(log, "3\n")
    follow.restart()
    assert follow.texts() == ["2", "3"]


def test_a_rotated_file_is_found_where_a_symlink_leads(tmp_path: Path) -> None:
    (tmp_path / "pods").mkdir()
    target = tmp_path / "pods" / "0.log"
    write(target, "1\n")
    link = tmp_path / "container.log"
    link.symlink_to(target)
    follow = Follow(link)
    follow.texts()
    write(target, "2\n")
    target.rename(target.with_suffix(".log.20260101"))
    write(target, "3\n")
    follow.restart()
    assert follow.texts() == ["2", "3"]


def test_a_file_being_drained_when_we_stopped_is_drained_on(log: Path) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_lines=1))
    write(log, "0\n")
    assert follow.texts() == ["0"]
    old = [f"{number:01000}" for number in range(100)]
    write(log, "\n".join(old) + "\n")
    log.rename(log.with_suffix(".1"))
    write(log, "new\n")
    first = follow.texts()
    follow.restart()
    assert first + follow.all_texts() == [*old, "new"]


def test_a_truncated_file_is_read_from_its_beginning(log: Path) -> None:
    follow = Follow(log)
    write(log, "long enough\n")
    follow.texts()
    os.truncate(log, 0)
    write(log, "short\n")
    follow.restart()
    assert follow.texts() == ["short"]


def test_a_truncated_file_that_has_grown_again_is_read_from_its_beginning(log: Path) -> None:
    follow = Follow(log)
    write(log, "one\n")
    follow.texts()
    os.truncate(log, 0)
    write(log, "two is longer\n")
    follow.restart()
    assert follow.texts() == ["two is longer"]


def test_a_truncated_file_that_begins_as_it_did_is_read_from_its_beginning(log: Path) -> None:
    banner = "=" * 300
    follow = Follow(log)
    write(log, f"{banner}\nold\n")
    follow.texts()
    os.truncate(log, 0)
    write(log, f"{banner}\n")
    follow.restart()
    assert follow.texts() == [banner]


def test_what_was_copied_and_truncated_meanwhile_is_read_on_in_the_copy(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n2\n")
    assert follow.texts() == ["1", "2"]
    write(log, "3\n")
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
    write(log, "4 is as long as all that\n")
    follow.restart()
    assert follow.texts() == ["3", "4 is as long as all that"]
    assert follow.follower.tally.forgotten == 0


@pytest.mark.parametrize("copied", [False, True])
def test_files_that_came_and_went_meanwhile_are_read_in_their_order(log: Path, copied: bool) -> None:  # noqa: FBT001
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    assert follow.texts() == ["1"]
    for number in range(2, 5):
        write(log, f"{number}\n")
        aside = log.with_name(f"server.log.{7 - number}")
        if copied:
            shutil.copyfile(log, aside)
            os.truncate(log, 0)
        else:
            log.rename(aside)
        set_modified(aside, 1000.0 + number)
    write(log.with_name("server.log.bak"), "a backup\n")
    write(log, "5\n")
    follow.restart()
    assert follow.texts() == ["2", "3", "4", "5"]
    assert follow.follower.tally.forgotten == 0
    follow.restart()
    assert follow.all_texts(after=10.0) == []


def test_no_more_generations_are_opened_than_files_may_be_and_the_others_are_counted(log: Path) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(files=3))
    write(log, "0\n")
    assert follow.texts() == ["0"]
    for number in range(1, 6):
        set_modified(log.rename(log.with_name(f"server.log.{number}")), 1000.0 + number)
        write(log, f"{number}\n")
    follow.restart()
    assert follow.all_texts() == ["1", "2"]
    assert follow.follower.tally.files == 3
    assert follow.follower.tally.forgotten == 2
    assert follow.texts(after=10.0) == []
    assert follow.texts(after=1.0) == ["5"]


def test_a_generation_that_is_given_up_is_counted_once_however_many_before_it_are_known(log: Path) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(files=3))
    write(log, "0\n")
    assert follow.texts() == ["0"]
    set_modified(log.rename(log.with_name("server.log.1")), 1001.0)
    write(log, "1\n")
    assert follow.texts() == ["1"]
    for number in range(2, 6):
        set_modified(log.rename(log.with_name(f"server.log.{number}")), 1000.0 + number)
        write(log, f"{number}\n")
    follow.restart()
    assert follow.all_texts() == ["2"]
    assert follow.follower.tally.forgotten == 2


def test_an_empty_file_between_two_does_not_let_the_later_one_go_first(log: Path) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_lines=1))
    write(log, "0\n")
    assert follow.texts() == ["0"]
    old = [f"{number:01000}" for number in range(100)]
    write(log, "\n".join(old) + "\n")
    for number in (2, 1):
        aside = log.rename(log.with_name(f"server.log.{number}"))
        set_modified(aside, 1000.0 - number)
        write(log, "")
    write(log, "new\n")
    follow.restart()
    assert follow.all_texts() == [*old, "new"]


def test_a_log_that_is_only_named_alike_is_nobodys_generation(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    assert follow.texts() == ["1"]
    set_modified(log.rename(log.with_name("server.log.1")), 1000.0)
    write(log.with_name("server.log-worker2"), "another server's\n")
    write(log, "2\n")
    follow.restart()
    assert follow.texts() == ["2"]


def test_a_copy_is_found_where_as_many_places_are_kept_as_may_be(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    assert follow.texts() == ["1"]
    write(log, "2\n")
    shutil.copyfile(log, log.with_name("server.log.1"))
    os.truncate(log, 0)
    saved = follow.follower.snapshot()
    [mark] = saved["files"]
    others = [{**mark, "path": str(log.parent / "unmounted" / f"{number}"), "inode": number} for number in range(255)]
    follow.follower.close()
    follow.follower = Follower([str(log)])
    follow.follower.restore({**saved, "files": [mark, *others]})
    assert follow.texts() == ["2"]


def test_older_files_are_not_read_after_a_restart(log: Path) -> None:
    follow = Follow(log)
    write(log.with_name("server.log.2"), "old\n")
    set_modified(log.with_name("server.log.2"), 1000.0)
    follow.texts()
    write(log, "1\n")
    follow.texts(after=1.0)
    log.rename(log.with_name("server.log.1"))
    write(log, "2\n")
    follow.restart()
    assert follow.texts() == ["2"]


def test_a_file_that_came_while_we_were_down_is_read_from_its_beginning(tmp_path: Path) -> None:
    follow = Follow(tmp_path / "*.log", start_at="end")
    follow.texts()
    write(tmp_path / "new.log", "1\n")
    follow.restart()
    assert follow.texts() == ["1"]


def test_a_pattern_that_is_new_after_a_restart_begins_like_any_first_look(tmp_path: Path) -> None:
    write(tmp_path / "a.log", "old\n")
    write(tmp_path / "b.log", "old\n")
    follow = Follow(tmp_path / "a.log")
    follow.texts()
    saved = follow.follower.snapshot()
    follower = Follower([str(tmp_path / "a.log"), str(tmp_path / "b.log")])
    follower.restore(saved)
    assert follower.poll(Instant(2000.0), 0.0) == []


def test_missing_files_are_forgotten_and_counted(log: Path) -> None:
    follow = Follow(log)
    write(log, "1\n")
    follow.texts()
    log.unlink()
    follow.restart()
    assert follow.texts() == []
    assert follow.follower.tally.forgotten == 1
    assert follow.follower.snapshot()["files"] == []


def test_a_file_whose_directory_is_not_mounted_yet_is_remembered(tmp_path: Path) -> None:
    log = tmp_path / "mount" / "server.log"
    log.parent.mkdir()
    write(log, "1\n")
    follow = Follow(log)
    follow.texts()
    log.parent.rename(tmp_path / "unmounted")
    follow.restart()
    assert follow.texts() == []
    (tmp_path / "unmounted").rename(log.parent)
    write(log, "2\n")
    assert follow.texts(after=1.0) == ["2"]


@pytest.mark.parametrize(
    "unusable", [{}, {"patterns": 3, "files": []}, {"patterns": [], "files": [{"path": "x"}]}, {"files": None}]
)
def test_an_unusable_snapshot_is_as_good_as_none(log: Path, unusable: dict[str, Any]) -> None:
    write(log, "old\n")
    follow = Follow(log)
    follow.follower.restore(unusable)
    assert follow.texts() == []
    write(log, "new\n")
    assert follow.texts() == ["new"]


def test_what_is_saved_holds_no_text_of_the_log(log: Path) -> None:
    write(log, "2026-01-01T00:00:00Z stdout P a secret prompt\n")
    follow = Follow(log, start_at="beginning")
    follow.texts()
    assert "secret" not in json.dumps(follow.follower.snapshot())


def test_a_line_in_pieces_survives_a_restart_between_them(log: Path) -> None:
    stamp = "2026-01-01T00:00:00Z"
    write(log, f"{stamp} stderr F before\n{stamp} stdout P one \n{stamp} stderr F between\n")
    follow = Follow(log, start_at="beginning")
    assert follow.texts() == ["before", "between"]
    follow.restart()
    assert follow.texts() == []
    follow.restart()
    write(log, f"{stamp} stdout F line\n")
    assert follow.texts() == ["one line"]


def test_a_line_in_pieces_survives_a_truncation_before_it_and_a_restart_within_it(log: Path) -> None:
    stamp = "2026-01-01T00:00:00Z"
    write(log, f"{stamp} stdout F before, and long enough\n")
    follow = Follow(log, start_at="beginning")
    assert follow.texts() == ["before, and long enough"]
    os.truncate(log, 0)
    write(log, f"{stamp} stdout P one \n")
    assert follow.texts() == []
    follow.restart()
    write(log, f"{stamp} stdout F line\n")
    assert follow.texts() == ["one line"]


def test_a_line_in_pieces_survives_rotation_between_them(log: Path) -> None:
    stamp = "2026-01-01T00:00:00Z"
    follow = Follow(log, start_at="beginning")
    write(log, f"{stamp} stdout P one \n")
    assert follow.texts() == []
    log.rename(log.with_suffix(".1"))
    write(log, f"{stamp} stdout F line\n")
    assert follow.texts() == ["one line"]
