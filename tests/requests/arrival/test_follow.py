"""Files are followed by identity, so that no line is lost or read twice whatever happens to their names."""

import os
import shutil
from pathlib import Path

import pytest

from exporter.domain.units import Instant
from exporter.requests.arrival import Bounds
from tests.requests.arrival.arriving import Follow, set_modified, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def test_what_was_there_before_us_is_not_read(log: Path) -> None:
    write(log, "old\n")
    follow = Follow(log)
    assert follow.texts() == []
    write(log, "new\n")
    assert follow.texts() == ["new"]


def test_what_was_there_before_us_is_read_if_wanted(log: Path) -> None:
    write(log, "old\n")
    assert Follow(log, start_at="beginning").texts() == ["old"]


def test_a_half_line_that_was_there_before_us_is_read_whole_when_it_is_complete(log: Path) -> None:
    write(log, "old\nhalf")
    follow = Follow(log)
    assert follow.texts() == []
    write(log, " and half\n")
    assert follow.texts() == ["half and half"]


def test_a_file_that_comes_later_is_read_from_its_beginning(log: Path) -> None:
    follow = Follow(log)
    assert follow.texts() == []
    write(log, "first\n")
    assert follow.texts(after=1.0) == ["first"]


def test_a_file_that_a_glob_matches_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    write(tmp_path / "a.log", "old\n")
    follow = Follow(tmp_path / "*.log")
    assert follow.texts() == []
    write(tmp_path / "b.log", "new\n")
    assert follow.texts(after=1.0) == ["new"]
    assert follow.follower.tally.files == 2


def test_lines_of_a_file_that_comes_later_were_written_since_the_scan_before(tmp_path: Path) -> None:
    follow = Follow(tmp_path / "*.log")
    assert follow.texts() == []
    scanned = follow.now
    write(tmp_path / "a.log", "new\n")
    set_modified(tmp_path / "a.log", scanned + 0.7)
    (line,) = follow.lines(after=1.0)
    assert line.not_before == scanned
    assert scanned + 0.7 <= line.not_after < scanned + 0.8


def test_lines_of_a_file_that_was_moved_here_may_be_as_old_as_they_like(tmp_path: Path) -> None:
    follow = Follow(tmp_path / "*.log")
    assert follow.texts() == []
    write(tmp_path / "a.log", "old\n")
    set_modified(tmp_path / "a.log", follow.now - 5.0)
    (line,) = follow.lines(after=1.0)
    assert line.not_before == float("-inf")


def test_a_half_line_waits_until_it_is_complete(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    for piece in ("one", " li", "ne"):
        write(log, piece)
        assert follow.texts(after=2.0) == []
    write(log, "\nand")
    assert follow.texts() == ["one line"]


def test_a_whole_json_array_needs_no_line_end(tmp_path: Path) -> None:
    write(tmp_path / "trace.0", '[{"id":1}]')
    follow = Follow(tmp_path / "trace.*")
    assert follow.texts() == []  # it was there before us
    write(tmp_path / "trace.1", '[{"id":2},{"a":[{}]')
    assert follow.texts(after=1.0) == []
    write(tmp_path / "trace.1", "}]")
    assert follow.texts() == ['[{"id":2},{"a":[{}]}]']
    write(tmp_path / "trace.1", "\nnext\n")
    assert follow.texts() == ["", "next"]


def test_brackets_at_the_ends_of_a_half_line_make_no_array(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    for text in ("[TRT-LLM] [I]", "[{]", " [}]"):
        write(log, text)
        assert follow.texts(after=1.0) == []
    write(log, "\n")
    assert follow.texts() == ["[TRT-LLM] [I][{] [}]"]


def test_carriage_returns_before_line_ends_are_no_part_of_the_line(log: Path) -> None:
    write(log, "a\r\nb\rc\n\r\n")
    assert Follow(log, start_at="beginning").texts() == ["a", "b\rc", ""]


def test_rotation_by_rename_reads_the_old_file_to_its_end_first(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    assert follow.texts() == ["1"]
    write(log, "2\n")
    log.rename(log.with_suffix(".1"))
    write(log, "3\n")
    assert follow.texts() == ["2", "3"]
    assert follow.follower.tally.rotations == 1


def test_the_old_file_is_read_to_its_end_first_even_when_that_takes_many_polls(log: Path) -> None:
    old = [f"old {number}" for number in range(20_000)]
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_lines=1000))
    write(log, "0\n")
    assert follow.texts() == ["0"]
    write(log, "\n".join(old) + "\n")
    log.rename(log.with_suffix(".1"))
    write(log, "new\n")
    assert follow.all_texts() == [*old, "new"]


@pytest.mark.parametrize("pauses", [[], [0.1, 10.0, 10.0]])
def test_an_empty_file_between_two_rotations_does_not_let_the_latest_go_first(log: Path, pauses: list[float]) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_lines=1))
    write(log, "0\n")
    read = follow.texts()
    old = [f"{number:01000}" for number in range(100)]
    write(log, "\n".join(old) + "\n")
    log.rename(log.with_suffix(".2"))
    write(log, "")
    read += follow.texts()
    log.rename(log.with_suffix(".1"))
    write(log, "new\n")
    for pause in pauses:  # in which the empty one is given up
        read += follow.texts(pause)
    assert read + follow.all_texts() == ["0", *old, "new"]


def test_a_file_that_begins_as_it_did_is_not_taken_for_its_own_copy(log: Path) -> None:
    banner = "=" * 300
    follow = Follow(log, start_at="beginning")
    write(log, f"{banner}\nhalf")
    assert follow.texts() == [banner]
    write(log, " and whole\n")
    shutil.copyfile(log, log.with_suffix(".1"))
    os.truncate(log, 0)
    write(log, f"{banner}\n")
    assert follow.texts() == ["half and whole", banner]


def test_what_was_copied_twice_before_it_was_read_is_read_in_its_order(log: Path) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_lines=1))
    write(log, "0\n")
    read = follow.texts()
    lines = [f"{number:01000}" for number in range(150)]
    for number, some in enumerate((lines[:100], lines[100:])):
        write(log, "\n".join(some) + "\n")
        read += follow.texts()
        shutil.copyfile(log, log.with_suffix(f".{number}"))
        os.truncate(log, 0)
        read += follow.texts()
    write(log, "last\n")
    assert read + follow.all_texts() == ["0", *lines, "last"]


def test_a_line_in_pieces_is_joined_across_a_copy(log: Path) -> None:
    stamp = "2026-01-01T00:00:00Z"
    follow = Follow(log, start_at="beginning")
    write(log, f"{stamp} stdout F before\n")
    assert follow.texts() == ["before"]
    write(log, f"{stamp} stdout P one \n")
    shutil.copyfile(log, log.with_suffix(".1"))
    os.truncate(log, 0)
    write(log, f"{stamp} stdout F line\n")
    assert follow.texts() == ["one line"]


def test_of_copies_that_begin_alike_the_latest_is_read_on(log: Path) -> None:
    banner = "=" * 300
    write(log.with_suffix(".2"), f"{banner}\nmuch older\nand read then\n")
    follow = Follow(log, start_at="beginning")
    write(log, f"{banner}\n1\n")
    assert follow.texts() == [banner, "1"]
    read_at = follow.now
    write(log, "2\n")
    shutil.copyfile(log, log.with_suffix(".1"))
    os.truncate(log, 0)
    (line,) = follow.lines()
    assert (line.text, line.not_before) == ("2", read_at)
    assert follow.texts(after=10.0) == []
    assert follow.follower.tally.files == 1  # the copy is let go


def test_late_writes_to_a_rotated_file_are_read(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    follow.texts()
    log.rename(log.with_suffix(".1"))
    write(log, "2\n")
    assert follow.texts() == ["2"]
    write(log.with_suffix(".1"), "late\n")
    assert follow.texts() == ["late"]
    write(log.with_suffix(".1"), "later\n")
    assert follow.texts(after=4.0) == ["later"]
    assert follow.follower.tally.files == 2
    follow.texts(after=6.0)
    assert follow.follower.tally.files == 1


def test_the_half_line_at_the_end_of_a_rotated_file_is_a_line_once_the_file_is_given_up(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\nhalf")
    follow.texts()
    log.rename(log.with_suffix(".1"))
    write(log, "2\n")
    assert follow.texts() == ["2"]
    assert follow.texts(after=6.0) == ["half"]


def test_a_file_renamed_but_not_replaced_is_followed_on(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    follow.texts()
    log.rename(log.with_suffix(".1"))
    for number in range(5):
        write(log.with_suffix(".1"), f"{number}\n")
        assert follow.texts(after=60.0) == [str(number)]


def test_a_rotated_file_that_the_glob_still_matches_is_not_read_again(tmp_path: Path) -> None:
    follow = Follow(tmp_path / "*.log", start_at="beginning")
    write(tmp_path / "a.log", "1\n")
    assert follow.texts() == ["1"]
    for generation in range(2, 5):
        (tmp_path / "a.log").rename(tmp_path / f"a.{generation}.log")
        write(tmp_path / "a.log", f"{generation}\n")
        assert follow.texts() == [str(generation)]
        assert follow.texts(after=1.0) == []
    assert follow.texts(after=10.0) == []
    assert follow.follower.tally.files == 4
    assert follow.follower.tally.rotations == 3


def test_a_chain_of_renames_keeps_every_file_known(tmp_path: Path) -> None:
    follow = Follow(tmp_path / "a.log*", start_at="beginning")
    for generation in range(4):
        for number in (2, 1, 0):
            older = tmp_path / f"a.log.{number}"
            if older.exists():
                older.rename(tmp_path / f"a.log.{number + 1}")
        if generation:
            (tmp_path / "a.log").rename(tmp_path / "a.log.0")
        write(tmp_path / "a.log", f"{generation}\n")
        assert follow.texts(after=1.5) == [str(generation)]


def test_truncation_starts_the_file_over(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "a long line\n")
    follow.texts()
    os.truncate(log, 0)
    write(log, "short\n")
    assert follow.texts() == ["short"]
    assert follow.follower.tally.rotations == 1


def test_truncation_is_seen_though_the_file_has_grown_past_where_we_were(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "12:00 one\n")
    follow.texts()
    os.truncate(log, 0)
    write(log, "12:01 two\n12:02 three\n")
    assert follow.texts() == ["12:01 two", "12:02 three"]


def test_a_half_line_cut_off_by_truncation_is_counted(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "whole\nhalf")
    follow.texts()
    os.truncate(log, 0)
    follow.texts()
    assert follow.follower.tally.dropped == {"truncated": 1}


def test_what_was_not_read_before_a_copy_and_truncate_is_read_in_the_copy_first(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "read\nhalf of ")
    assert follow.texts() == ["read"]
    write(log, "a line\nunread\n")
    shutil.copyfile(log, log.with_name("server.log.1"))
    os.truncate(log, 0)
    write(log, "new\n")
    assert follow.texts() == ["half of a line", "unread", "new"]
    assert follow.follower.tally.rotations == 1
    assert follow.follower.tally.dropped == {}


def test_a_copy_is_found_though_the_file_was_truncated_before_anything_of_it_was_read(log: Path) -> None:
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_lines=1))
    write(log, "1\n" * 9000)
    follow.texts()
    log.rename(log.with_name("server.log.2"))
    write(log, "unread\n")
    follow.texts()
    shutil.copyfile(log, log.with_name("server.log.1"))
    os.truncate(log, 0)
    assert follow.all_texts()[-1] == "unread"


@pytest.mark.parametrize("name", ["server.log.1", "server-20260102.log", "server.log-20260102"])
def test_a_copy_that_the_glob_matches_is_read_on_and_not_again(log: Path, name: str) -> None:
    follow = Follow(log.with_name("server*"), start_at="beginning")
    write(log, "1\n")
    follow.texts()
    write(log, "2\n")
    shutil.copyfile(log, log.with_name(name))
    os.truncate(log, 0)
    write(log, "3\n")
    assert follow.texts() == ["2", "3"]
    for _ in range(20):
        assert follow.texts(after=1.0) == []


@pytest.mark.parametrize(
    ("name", "text"), [("server.log.1", "other\n" * 9), ("another.log", "1\n2\n"), ("server.log.gz", "1\n2\n")]
)
def test_only_a_file_that_begins_alike_and_is_named_after_it_is_taken_for_the_copy(
    log: Path, name: str, text: str
) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    follow.texts()
    write(log.with_name(name), text)
    os.truncate(log, 0)
    write(log, "3\n")
    assert follow.texts() == ["3"]


def test_a_copy_that_may_not_be_read_changes_nothing(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\nhalf")
    follow.texts()
    shutil.copyfile(log, log.with_name("server.log.1"))
    os.truncate(log, 0)
    write(log, "3\n")
    monkeypatch.setattr("exporter.requests.arrival.marks.open_to_read", _refuse)
    assert follow.texts() == ["3"]
    assert follow.follower.tally.dropped == {"truncated": 1}


def _refuse(path: str) -> int:
    raise PermissionError(path)


def test_a_writer_that_does_not_append_leaves_zeros_that_are_no_part_of_its_line(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    with log.open("wb", buffering=0) as writer:
        writer.write(b"one\n" * 2000)
        follow.texts()
        os.truncate(log, 0)
        writer.write(b"two\n")
    assert follow.texts() == ["two"]


def test_compressed_leftovers_are_ignored(tmp_path: Path) -> None:
    for suffix in ("gz", "zst", "bz2", "xz"):
        write(tmp_path / f"a.log.{suffix}", "garbage\n")
    follow = Follow(tmp_path / "*", start_at="beginning")
    assert follow.texts() == []
    assert follow.follower.tally.files == 0


def test_a_file_that_vanishes_and_comes_back_is_read_from_its_beginning(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    follow.texts()
    log.unlink()
    assert follow.texts() == []
    assert follow.texts(after=10.0) == []
    assert follow.follower.tally.files == 0
    write(log, "2\n")
    assert follow.texts(after=1.0) == ["2"]


def test_a_file_moved_away_and_back_is_not_read_again(log: Path) -> None:
    follow = Follow(log, start_at="beginning")
    write(log, "1\n")
    follow.texts()
    log.rename(log.with_suffix(".away"))
    assert follow.texts() == []
    assert follow.texts(after=7200.0) == []
    assert follow.follower.tally.files == 0
    log.with_suffix(".away").rename(log)
    write(log, "2\n")
    assert follow.texts(after=1.0) == ["2"]


def test_a_symlink_is_followed_where_it_leads_and_when_it_leads_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "0.log", "0\n")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "0.log")
    follow = Follow(link, start_at="beginning")
    assert follow.texts() == ["0"]
    write(tmp_path / "1.log", "1\n")
    link.unlink()
    link.symlink_to(tmp_path / "1.log")
    assert follow.texts() == ["1"]


def test_two_names_of_one_file_are_one_file(tmp_path: Path) -> None:
    write(tmp_path / "a.log", "1\n")
    os.link(tmp_path / "a.log", tmp_path / "b.log")
    follow = Follow(tmp_path / "*.log", start_at="beginning")
    assert follow.texts() == ["1"]


def test_a_name_with_the_characters_of_a_glob_is_a_name_if_it_exists(tmp_path: Path) -> None:
    write(tmp_path / "a[1].log", "1\n")
    assert Follow(tmp_path / "a[1].log", start_at="beginning").texts() == ["1"]


class TestBounds:
    def test_a_backlog_is_worked_off_piece_by_piece(self, log: Path) -> None:
        written = [f"line {number}" for number in range(10_000)]
        write(log, "\n".join(written) + "\n")
        follow = Follow(log, start_at="beginning", bounds=Bounds(poll_bytes=32 * 1024))
        first = follow.texts()
        assert 0 < len(first) < 10_000
        assert not follow.follower.caught_up
        assert follow.follower.tally.lag_bytes > 0
        assert first + follow.all_texts() == written
        assert follow.follower.tally.lag_bytes == 0
        assert follow.follower.tally.bytes == log.stat().st_size

    def test_one_busy_file_does_not_starve_another(self, tmp_path: Path) -> None:
        write(tmp_path / "a.log", "a\n" * 200_000)
        write(tmp_path / "b.log", "b\n")
        follow = Follow(tmp_path / "*.log", start_at="beginning", bounds=Bounds(poll_bytes=64 * 1024))
        assert "b" in follow.texts() + follow.texts()

    def test_an_endless_line_is_skipped_and_nothing_after_it_is_lost(self, log: Path) -> None:
        follow = Follow(log, start_at="beginning", bounds=Bounds(line_bytes=100))
        write(log, "a\n" + "x" * 101)
        assert follow.texts() == ["a"]
        write(log, "x" * 100_000)
        assert follow.all_texts() == []
        write(log, "x\nb\n")
        assert follow.texts() == ["b"]
        assert follow.follower.tally.dropped == {"line_too_long": 1}

    def test_more_files_than_we_follow_are_a_problem_in_words(self, tmp_path: Path) -> None:
        for number in range(3):
            write(tmp_path / f"{number}.log", "x\n")
        follow = Follow(tmp_path / "*.log", bounds=Bounds(files=2))
        follow.texts()
        assert follow.follower.tally.files == 2
        assert "narrow the pattern" in follow.follower.tally.problems[str(tmp_path / "2.log")]


class TestWhenALineWasWritten:
    def test_a_live_line_came_between_two_polls(self, log: Path) -> None:
        write(log, "")
        follow = Follow(log)
        follow.lines()
        write(log, "new\n")
        (line,) = follow.lines()
        assert line.not_before == pytest.approx(1000.1)
        assert line.not_after == pytest.approx(1000.2)

    def test_nothing_says_when_a_backlog_began_but_its_file_says_when_it_ended(self, log: Path) -> None:
        write(log, "old\n")
        set_modified(log, 900.0)
        (line,) = Follow(log, start_at="beginning").lines()
        assert line.not_before == float("-inf")
        assert line.not_after == pytest.approx(900.0, abs=0.02)

    def test_the_files_time_is_put_on_our_clock(self, log: Path) -> None:
        write(log, "old\n")
        set_modified(log, 900.0)
        follow = Follow(log, start_at="beginning")
        (line,) = follow.follower.poll(Instant(1000.0), 50.0)
        assert line.not_after == pytest.approx(950.0, abs=0.02)
        assert line.wall_offset == 50.0

    def test_the_files_time_counts_for_nothing_while_the_wall_clock_is_being_set(self, log: Path) -> None:
        write(log, "old\n")
        set_modified(log, 900.0)
        (line,) = Follow(log, start_at="beginning").follower.poll(Instant(1000.0), None)
        assert line.not_after == 1000.0
        assert line.wall_offset is None

    def test_a_files_time_that_cannot_be_true_is_not_believed(self, log: Path) -> None:
        write(log, "")
        follow = Follow(log)
        follow.lines()
        write(log, "new\n")
        set_modified(log, 10.0)
        (line,) = follow.lines()
        assert line.not_after == pytest.approx(1000.2)

    def test_the_first_lines_after_rotation_came_after_the_last_poll(self, log: Path) -> None:
        write(log, "")
        follow = Follow(log)
        follow.lines()
        log.rename(log.with_suffix(".1"))
        write(log, "new\n")
        (line,) = follow.lines()
        assert line.not_before == pytest.approx(1000.1)


class TestCaughtUp:
    def test_a_followed_file_is_caught_up_with_at_every_poll(self, log: Path) -> None:
        write(log, "a\n")
        follow = Follow(log)
        assert follow.follower.caught_up_at is None
        for _ in range(3):
            follow.lines()
            assert follow.follower.caught_up_at == follow.now

    def test_a_glob_may_have_matched_a_new_file_since_it_was_last_resolved(self, tmp_path: Path) -> None:
        follow = Follow(tmp_path / "*.log")
        follow.lines()
        resolved = follow.now
        follow.lines(after=0.5)
        assert follow.follower.caught_up_at == resolved
        follow.lines(after=0.5)
        assert follow.follower.caught_up_at == follow.now

    def test_a_backlog_holds_it_back(self, log: Path) -> None:
        write(log, "")
        follow = Follow(log, bounds=Bounds(poll_bytes=1))
        follow.lines()
        before = follow.now
        write(log, "x" * 100_000 + "\n")
        follow.lines()
        assert follow.follower.caught_up_at == before
        follow.all_texts()
        assert follow.follower.caught_up_at == follow.now
