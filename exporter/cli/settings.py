"""Settings from the command line: a configuration file, or a server described in a few flags."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from exporter import config
from exporter.domain.errors import UsageError
from exporter.domain.settings import RequestSettings, ServerSettings, Settings
from exporter.requests.registry import SOURCES

DEFAULT_CONFIG = Path("/etc/llm-energy-exporter/config.yaml")
CHECKS: config.Readers = {name: kind.check for name, kind in SOURCES.items()}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare what `settings_from` reads."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration (default: {DEFAULT_CONFIG}, if any)"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to serve, instead of what the configuration says")
    parser.add_argument(
        "--source",
        choices=sorted(SOURCES),
        help="without a configuration: where requests are told: what kind of log this is, or `proxy`, `otlp`, `push`",
    )
    parser.add_argument(
        "--log", metavar="PATH", help="without a configuration: the server's log; '-' is standard input"
    )
    parser.add_argument("--model", metavar="NAME", help="without a configuration: the model, if the log names none")
    add_reader_options(parser)


def settings_from(options: argparse.Namespace) -> Settings:
    """The configuration that the command line asks for.

    Raises:
        UsageError: flags contradict each other.
        ConfigError: the file is wrong.
    """
    quick = {"--source": options.source, "--log": options.log, "--model": options.model, "--option": options.option}
    given = [flag for flag, value in quick.items() if value]
    if given and options.config is not None:
        raise UsageError(
            f"{', '.join(given)} and --config: the configuration says it all, so leave out one or the other"
        )
    if given and options.source is None:
        raise UsageError(f"{', '.join(given)} without --source: what kind of log is it? One of {', '.join(SOURCES)}")
    settings = _from_flags(options) if options.source is not None else _from_file(options)
    if options.listen is not None:
        settings = replace(settings, listen=config.parse_address(options.listen))
    return settings


def _from_flags(options: argparse.Namespace) -> Settings:
    chosen = reader_options(options)
    SOURCES[options.source].check(chosen, None)
    requests = RequestSettings(options.source, path=(options.log,) if options.log else (), options=chosen)
    return Settings(servers=(ServerSettings("llm", (requests,), model=options.model),))


def _from_file(options: argparse.Namespace) -> Settings:
    if options.config is not None or DEFAULT_CONFIG.exists():
        return config.load(options.config or DEFAULT_CONFIG, CHECKS)
    return Settings()


def add_reader_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `reader_options` reads."""
    text = "an option of the log reader, e.g. profile=nginx for jsonl; the value is YAML"
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help=text)


def reader_options(options: argparse.Namespace) -> dict[str, Any]:
    """A log reader's options as given on the command line."""
    return dict(_pair(text) for text in options.option)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    try:
        return key, yaml.safe_load(value) if equals else None
    except yaml.YAMLError as error:
        raise UsageError(f"--option {text}: the value is no YAML") from error
