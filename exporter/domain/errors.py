"""Every failure of the world that we know how to meet.

    ExporterError
     +- ConfigError            the user's configuration: stops at start and names the key         (exit code 2)
     +- UsageError             the user's command line                                             (exit code 2)
     +- SourceError      a power source cannot start here: says why and what to do
     +- StateError             saved state cannot be read or written
     +- CalibrationError       a calibration says something it must not: names the place in it
     +- RecordingError         a recording cannot be written, or is none that can be read
     +- ListenError            the port cannot be had
     +- ComponentsError        a model cannot be taken apart here, or what that found cannot be read
     +- TuneError              no setting can be tried, or one could not be put back
     |   +- KnobError          the device refuses a setting
     +- ReportError            nobody can say what was booked
     +- WebError               whoever is asked over HTTP does not answer

A bug of ours is an AssertionError and is not in this tree. A bad line of a log is no error: it is counted.
"""


class ExporterError(Exception):
    """The root: carries one line that says what is wrong, where, and what to do."""


class ConfigError(ExporterError):
    """The configuration is wrong at `path` (`servers[0].requests.source`)."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class UsageError(ExporterError):
    """The command line is wrong."""


class SourceError(ExporterError):
    """A power source cannot start on this machine.

    Attributes:
        reason: why. hint: what would make it work.
        kind: why, in a word out of few: a label may hold it.
    """

    def __init__(self, reason: str, hint: str = "", *, kind: str = "unusable") -> None:
        super().__init__(f"{reason} ({hint})" if hint else reason)
        self.reason = reason
        self.hint = hint
        self.kind = kind


class StateError(ExporterError):
    """Saved state cannot be read or written."""


class CalibrationError(ExporterError):
    """A calibration cannot be used. `path` is the place in its JSON (`proxies.time.coefficients`), empty for all of it.

    Attributes:
        path: as above. problem: completes "it ..." or "the place ...".
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class RecordingError(ExporterError):
    """A recording cannot be written, or is none that can be read: names the line."""


class ListenError(ExporterError):
    """The listening address cannot be had."""


class ComponentsError(ExporterError):
    """A model cannot be taken apart on this machine, or a file of such results cannot be read."""


class TuneError(ExporterError):
    """No setting can be tried, or one could not be put back: says which command puts it back."""


class KnobError(TuneError):
    """A device refuses to be set, or to say what it is set to."""


class ReportError(ExporterError):
    """A Prometheus, an exporter or a recording does not say what a report needs."""


class WebError(ExporterError):
    """Nobody answers at an address, or somebody who does not let us in."""
