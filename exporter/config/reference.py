"""docs/CONFIGURATION.md, written from the table of keys."""

from exporter.config.layout import layout
from exporter.config.sections import Row, rows

EXAMPLE = """\
listen: 0.0.0.0:9460
power:
  source: [nvml, rapl]
  interval: 50ms
  gpus: all
servers:
  - name: chat
    model: auto
    gpus: [0, 1]
    about: {engine: vLLM 0.11.1, dtype: bfloat16, parallelism: TP2}
    requests:
      source: vllm
      path: /var/log/vllm/*.log
      start: end
      timezone: UTC
attribution: {policy: steps, idle: active, slice: 100ms, settle: 2s, horizon: 15m}
proxies: [time, affine_time, time_share, tokens, step_model, peak]
scoring: {window: 60s}
state_dir: ${STATE_DIRECTORY:-/var/lib/llm-energy-exporter}
"""

_PREFACE = f"""\
# Configuration

<!-- Written by `python -m exporter.config > docs/CONFIGURATION.md`. Do not edit. -->

One YAML file, read once at start. Every key has a default unless it is marked *required*; a key without a value means
its default. Unknown keys and wrong values stop the exporter at start (exit code 2), all of them named at once with
their path, the value and what is allowed.

```yaml
{EXAMPLE}```

## How values are written

- **Durations** are a number with its unit, `ms`, `s`, `m`, `h` or `d`: `50ms`, `2s`, `1.5h`. A number without a unit
  is refused.
- **Watts** are a number, with or without unit: `60`, `60W`, `1.2kW`.
- **Addresses** are `HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every interface.
- **Lists** of one may be written without brackets: `source: nvml`.
- **Environment variables**: `${{NAME}}` in a value is replaced; `${{NAME:-default}}` stands for the default where
  NAME is unset or empty; unset without a default is an error. `$${{` is a literal `${{`. Inside `[ ]` and `{{ }}`
  quote it: YAML wants that. Variables are filled in after the file is parsed, so each is one value whatever it holds.
- Scalars follow YAML 1.2: `yes`, `on` and `00000000:17:00.0` are text, `1e3` is a number. Tags and keys that stand
  twice are refused.

## Keys

`servers[]` stands for each entry of the list. Beside `source`, `path`, `start` and `timezone`, a reader may have keys
of its own in `requests`; the reader checks them."""

_CHECKS = """\
## What must go together

- Names of servers are unique, and standard input (`-`) is read by one server at most.
- `attribution.slice` <= `attribution.settle` <= `attribution.horizon`, and the horizon has at most 1,000,000 slices.
- `power.source: auto` and `none` each stand alone; `rapl` and `cpu` meter the same energy and exclude each other.
- `power.source: recording` needs `power.recording.path`, and `dcgm` needs `power.dcgm.url`; `nvml` and `dcgm` meter the
  same GPUs and exclude each other.
- `power.dcgm`: `token_file`, or `user` with `password_file`, and neither in `url`; `namespace` only with `pod`.
- `power.cpu.idle_watts` <= `power.cpu.max_watts`.
- Where both are lists, the GPUs of a server are among those of `power.gpus`; with `power.source: none` a
  server names none.

## Estimate mode

A server that no metered device serves gets estimates from its `calibration` instead of measured energy, labelled
`method="time_proxy"`, each with an interval; without a calibration its requests are counted and have no energy. See
[CALIBRATION.md](CALIBRATION.md).

A server with a `calibration` is often not on this machine, and the utilisation of this machine's CPU says nothing
about it. So where every server has one, `power.source: auto` means `nvml`, or `none` where there is no GPU; say `rapl`
or `cpu` where that is meant. A file that is missing, damaged or of a newer release stops the exporter at start."""


def markdown() -> str:
    """The whole page."""
    return f"{_PREFACE}\n\n{_table()}\n\n{_CHECKS}\n"


def _table() -> str:
    head = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(_line(row) for row in rows(layout({})))])


def _line(row: Row) -> str:
    default = f"*{row.default}*" if row.default == "required" else row.default
    return f"| `{row.path}` | {row.word} | {default} | {row.meaning} |"
