"""`calibrate`: what was learned here, for where nothing is metered."""

from exporter.cli.command import Action, with_actions


def _actions() -> tuple[Action, ...]:
    from exporter.calibrate import check, export, importing, match, show  # noqa: PLC0415 - only this command needs them

    return (
        ("export", "write what a running or stopped exporter has learned to a file", export),
        ("show", "look at such a file", show),
        ("check", "find out whether such a file can be used", check),
        ("import", "put such a file into a state directory, to estimate with", importing),
        ("match", "find out which of several such files the times of a remote server fit", match),
    )


COMMAND = with_actions("calibrate", "carry what was learned here to where nothing is metered", _actions)
