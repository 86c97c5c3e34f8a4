"""What servers print besides their requests, sorted into a few kinds, so that no line is ignored without a reason.

startup        of a server that has announced itself and had no request yet: configuration, loading, routes
shutdown       of one that is stopping
info debug warning error     any other line of a logger, by its level
continuation   a further line of the message before it: tables, traces, banners
traceback      where a trace begins, and the exception that ends it
progress       a progress bar
blank
unstamped      printed past the logger, by a library or a child process
"""

import re

from exporter.domain.events import Ignored

BLANK = Ignored("blank")
CONTINUATION = Ignored("continuation")
SHUTDOWN = Ignored("shutdown")
STARTUP = Ignored("startup")
_PROGRESS = Ignored("progress")
_TRACEBACK = Ignored("traceback")
_UNSTAMPED = Ignored("unstamped")
_LEVELS = {
    "TRACE": Ignored("debug"),
    "DEBUG": Ignored("debug"),
    "INFO": Ignored("info"),
    "WARN": Ignored("warning"),
    "WARNING": Ignored("warning"),
    "ERROR": Ignored("error"),
    "CRITICAL": Ignored("error"),
    "FATAL": Ignored("error"),
}

_HEAD = 512
_SHUTDOWN = (
    "[shutdown]",
    "Shutting down",
    "Waiting for application shutdown",
    "Application shutdown complete",
    "Finished server process",
    "Stopping ",
)
_TRACES = ("Traceback (most recent call last)", "During handling of the above", "The above exception was")
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w{0,60}\.){0,8}\w{0,60}(?:Error|Exception|Interrupt|InvalidInput|Exit)(?::|$)")
_BAR = re.compile(r"\d+%[^\n]{0,120}(?:\||Completed)|it/s\]|s/it\]")
_WARNING = re.compile(r"\b\w{0,40}[Ww]arning: |\A`?[\w. ]{1,60}`? is deprecated|\A\[?W\d{4} ")


def logged(level: str, message: str, *, starting: bool) -> Ignored:
    """The kind of a line that came through the server's logger. `starting`: it began, and has served nothing yet."""
    if not message or message[0] in " \t\r":
        return CONTINUATION
    if message.startswith(_SHUTDOWN):
        return SHUTDOWN
    if starting and level == "INFO":
        return STARTUP
    return _LEVELS.get(level, _UNSTAMPED)


def printed(text: str) -> Ignored:
    """The kind of a line without a logger's prefix."""
    head = text[:_HEAD]
    if not head.strip():
        return BLANK
    if head[0] == "\r" or _BAR.search(head):
        return _PROGRESS
    if head[0] in " \t":
        return CONTINUATION
    if head.startswith(_TRACES) or _EXCEPTION.match(head):
        return _TRACEBACK
    return _LEVELS["WARNING"] if _WARNING.search(head) else _UNSTAMPED
