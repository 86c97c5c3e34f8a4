"""The benchmark of replays still runs. No figure is judged: machines differ."""

from pathlib import Path

from tests.bench.replay import replays


def test_recordings_of_any_length_are_replayed_to_their_end(tmp_path: Path) -> None:
    short, longer = replays(tmp_path, (5.0, 10.0))
    assert 20 < short.requests < longer.requests
    assert short.file_bytes < longer.file_bytes
    readings_and_advances = longer.told - 3 * longer.requests
    assert 40 * longer.story_seconds < readings_and_advances < 45 * longer.story_seconds
