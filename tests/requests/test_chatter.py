import pytest

from exporter.domain.events import Ignored
from exporter.requests.parts.chatter import logged, printed
from tests.requests.replay import ALL_LOGS, Log, back_read, feed

CATCH_ALL = {"other"}
SORTED = {"vllm", "sglang", "lmdeploy", "kserve"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "blank"),
        (" \t", "blank"),
        ("\rLoading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00,  1.85it/s]", "progress"),
        ("Fetching 7 files:  43%|####3     | 3/7 [00:01<00:01,  2.51it/s]", "progress"),
        ("Traceback (most recent call last):", "traceback"),
        ("During handling of the above exception, another exception occurred:", "traceback"),
        ("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.", "traceback"),
        ("KeyboardInterrupt", "traceback"),
        ('  File "/srv/x.py", line 3, in f', "continuation"),
        ("\ta table's row", "continuation"),
        ("/usr/lib/x.py:138: FutureWarning: `reduce_op` is deprecated", "warning"),
        ("[W1121 04:32:45.483545147 OperatorEntry.cpp:218] Warning: only once", "warning"),
        ("`torch_dtype` is deprecated! Use `dtype` instead!", "warning"),
        ("[Gloo] Rank 0 is connected to 0 peer ranks.", "unstamped"),
        ("an Error in the middle of words", "unstamped"),
    ],
)
def test_what_a_library_printed_has_a_kind(text: str, kind: str) -> None:
    assert printed(text) == Ignored(kind)


@pytest.mark.parametrize(
    ("level", "message", "kind"),
    [
        ("DEBUG", "EngineCore loop active.", "debug"),
        ("INFO", "Detected the chat template content format to be 'string'.", "info"),
        ("WARNING", "Pin memory is not supported on CPU.", "warning"),
        ("ERROR", "AsyncLLM output_handler failed.", "error"),
        ("CRITICAL", "out of memory", "error"),
        ("INFO", "[shutdown] EngineCore: exiting busy loop", "shutdown"),
        ("INFO", "", "continuation"),
        ("ERROR", '  File "/srv/x.py", line 849, in output_handler', "continuation"),
        ("NOTICE", "a level of its own", "unstamped"),
    ],
)
def test_a_logged_line_has_a_kind(level: str, message: str, kind: str) -> None:
    assert logged(level, message, starting=False) == Ignored(kind)


def test_information_between_a_start_and_its_first_request_is_start_up() -> None:
    assert logged("INFO", "Route: /docs, Methods: GET", starting=True) == Ignored("startup")
    assert logged("WARNING", "Triton is not installed.", starting=True) == Ignored("warning")


@pytest.mark.parametrize("log", [log for log in ALL_LOGS if log.kind in SORTED], ids=lambda log: log.name)
def test_no_line_of_a_recorded_log_is_ignored_without_its_kind(log: Log) -> None:
    heard = feed(log.reader(), back_read(log))
    assert not {one.reason for one in heard if isinstance(one, Ignored)} & CATCH_ALL
