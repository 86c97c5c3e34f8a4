"""The command line. Exit codes: 0 done, 1 it failed (one line says why), 2 wrong usage or configuration."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from exporter import __version__, config
from exporter.app import exporting
from exporter.domain.errors import ConfigError, ExporterError, UsageError
from exporter.domain.settings import RequestSettings, ServerSettings, Settings
from exporter.requests.registry import READERS

DEFAULT_CONFIG = Path("/etc/llm-energy-exporter/config.yaml")
_CHECKS: config.Readers = {name: kind.build for name, kind in READERS.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (ConfigError, UsageError) as error:
        return _fail(error, 2)
    except ExporterError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: there is nobody to tell
        return 0


def _fail(error: ExporterError, code: int) -> int:
    print(f"llm-energy-exporter: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llm-energy-exporter", description="Measure joules per LLM request and export them to Prometheus."
    )
    parser.add_argument("--version", action="version", version=f"llm-energy-exporter {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_doctor(commands)
    _add_check_config(commands)
    _add_parse(commands)
    _add_demo(commands)
    return parser


def _add(commands: Any, name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"configuration (default: {DEFAULT_CONFIG}, if any)"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to serve, instead of what the configuration says")
    parser.add_argument("--source", choices=sorted(READERS), help="without a configuration: what kind of log this is")
    parser.add_argument(
        "--log", metavar="PATH", help="without a configuration: the server's log; '-' is standard input"
    )
    parser.add_argument("--model", metavar="NAME", help="without a configuration: the model, if the log names none")
    _add_options(parser)


def settings_from(options: argparse.Namespace) -> Settings:
    """The configuration that the command line asks for."""
    quick = {"--source": options.source, "--log": options.log, "--model": options.model, "--option": options.option}
    given = [flag for flag, value in quick.items() if value]
    if given and options.config is not None:
        raise UsageError(
            f"{', '.join(given)} and --config: the configuration says it all, so leave out one or the other"
        )
    if given and options.source is None:
        raise UsageError(f"{', '.join(given)} without --source: what kind of log is it? One of {', '.join(READERS)}")
    if options.source is not None:
        chosen = _options(options)
        READERS[options.source].build(chosen, None)
        requests = RequestSettings(options.source, path=(options.log or "-",), options=chosen)
        settings = Settings(servers=(ServerSettings("llm", requests, model=options.model),))
    elif options.config is not None or DEFAULT_CONFIG.exists():
        settings = config.load(options.config or DEFAULT_CONFIG, _CHECKS)
    else:
        settings = Settings()
    if options.listen is not None:
        settings = replace(settings, listen=config.parse_address(options.listen))
    return settings


def _add_options(parser: argparse.ArgumentParser) -> None:
    text = "an option of the log reader, e.g. profile=nginx for jsonl; the value is YAML"
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help=text)


def _options(options: argparse.Namespace) -> dict[str, Any]:
    return dict(_pair(text) for text in options.option)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    try:
        return key, yaml.safe_load(value) if equals else None
    except yaml.YAMLError as error:
        raise UsageError(f"--option {text}: the value is no YAML") from error


# --- run -----------------------------------------------------------------------------------------------------------


def _add_run(commands: Any) -> None:
    _add_settings(_add(commands, "run", _run, "run the exporter until it is stopped"))


def spare_the_collector() -> None:
    """Look for reference cycles seldom: we make none to speak of, and looking costs a sixth of the throughput."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _run(options: argparse.Namespace) -> int:
    spare_the_collector()
    asyncio.run(_serve(settings_from(options)))
    return 0


async def _serve(settings: Settings) -> None:
    log = logging.getLogger("exporter")
    async with exporting(settings) as exporter:
        log.info("serving metrics at %s/metrics", exporter.url)
        if not settings.servers:
            log.warning("no server is configured: power is metered, but no request. Try --source KIND --log PATH")
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()


# --- doctor, check-config, parse, demo -----------------------------------------------------------------------------


def _add_doctor(commands: Any) -> None:
    _add_settings(_add(commands, "doctor", _doctor, "find out what works on this machine and what does not"))


def _doctor(options: argparse.Namespace) -> int:
    from exporter import doctor  # noqa: PLC0415 - only this command needs it, and the sidecar stays small

    return doctor.run(settings_from(options), sys.stdout)


def _add_check_config(commands: Any) -> None:
    parser = _add(commands, "check-config", _check_config, "check a configuration file")
    parser.add_argument("file", type=Path, metavar="FILE")


def _check_config(options: argparse.Namespace) -> int:
    settings = config.load(options.file, _CHECKS)
    servers = ", ".join(server.name for server in settings.servers) or "no servers"
    print(f"{options.file}: good ({servers})")
    return 0


def _add_parse(commands: Any) -> None:
    parser = _add(commands, "parse", _parse, "show the events that a log yields, as JSON lines, and what was not used")
    parser.add_argument("--source", required=True, metavar="KIND", help=f"one of {', '.join(READERS)}")
    parser.add_argument("--timezone", metavar="NAME", help="of stamps that have none, e.g. Europe/Berlin")
    _add_options(parser)
    parser.add_argument("file", nargs="?", metavar="FILE", help="the log; standard input where it is left out")


def _parse(options: argparse.Namespace) -> int:
    from exporter import parse  # noqa: PLC0415 - only this command needs it, and the sidecar stays small

    chosen = _options(options)
    return parse.parse_file(options.file, options.source, chosen, options.timezone, sys.stdout, sys.stderr)


def _add_demo(commands: Any) -> None:
    parser = _add(commands, "demo", _demo, "serve a real small model on this machine's CPU and meter its requests")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to send requests")
    parser.add_argument("--keep", action="store_true", help="keep running afterwards, to look at the page")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to serve; a free local port where it is left out")
    parser.add_argument("--llama-server", type=Path, metavar="FILE", help="another llama-server")
    parser.add_argument("--model", type=Path, metavar="FILE", help="another GGUF model")


def _demo(options: argparse.Namespace) -> int:
    from exporter import demo  # noqa: PLC0415 - only this command needs it, and the sidecar stays small

    logging.getLogger().setLevel(logging.WARNING)
    chosen = demo.DemoOptions(binary=options.llama_server, model=options.model, keep=options.keep)
    if options.seconds is not None:
        chosen = replace(chosen, seconds=options.seconds)
    if options.listen is not None:
        chosen = replace(chosen, listen=config.parse_address(options.listen))
    return demo.run(chosen, exporting)
