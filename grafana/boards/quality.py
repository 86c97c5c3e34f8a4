"""Measurement quality: can the numbers on the other dashboards be trusted?"""

from grafana import colours
from grafana.board import INSTANCE, JOB, SERVER_CHOICE, Board, Row
from grafana.panels import Column, Look, stat, table, timeseries
from grafana.query import SERVER, TARGET, Query, increase, or_none, rate, ratio, total

EXPORTER = "llm_energy_exporter_"
DEVICE = "{{device}} {{instance}}"
HERE = "{{server}} {{instance}}"
BOOKED = "llm_energy_joules_total"
RATIO = "llm_power_counter_ratio"
DROPPED = f'{SERVER}, outcome="dropped"'
KNOWN = f'{TARGET}, share!="unattributed"'
YES_NO = {"0": "no", "1": "yes"}


def _verdicts() -> Row:
    return Row(
        "At a glance",
        (
            stat(
                "Exporters up",
                "Targets of Prometheus that answer. A dead exporter looks frugal.",
                Query(f"sum(up{{{TARGET}}})"),
                look=Look("none", 0, steps=((None, "red"), (1.0, "green"))),
                trend=True,
            ),
            stat(
                "Has an owner",
                "Share of the booked energy that is known to be due to a request or to idleness. The rest was "
                "caused by requests whose log lines never came or could not be read.",
                Query(ratio(increase(BOOKED, where=KNOWN), increase(BOOKED))),
                look=Look("percentunit", 2, most=1.0, steps=((None, "red"), (0.95, "yellow"), (0.99, "green"))),
            ),
            stat(
                "Told too late",
                "Energy that late requests were due but could not be given, over all that requests were given.",
                Query(
                    f"{increase('llm_energy_late_joules_total', where=SERVER)} / "
                    f"({increase(BOOKED, where=_REQUESTS)} > 0)"
                ),
                look=Look("percentunit", 2, steps=((None, "green"), (0.01, "yellow"), (0.05, "red"))),
            ),
            stat(
                "Log lines dropped",
                "Share of the lines that looked like a request's and could not be used.",
                Query(f"({increase(f'{EXPORTER}log_lines_total', where=DROPPED)} or vector(0)) / ({_LINES} > 0)"),
                look=Look("percentunit", 2, steps=((None, "green"), (0.001, "yellow"), (0.02, "red"))),
            ),
            stat(
                "Readings failed",
                "Share of the readings of power or energy that failed.",
                Query(
                    f"{increase(f'{EXPORTER}sample_errors_total')} / ({increase(f'{EXPORTER}samples_total')} + "
                    f"{increase(f'{EXPORTER}sample_errors_total')} > 0)"
                    f" or {increase(f'{EXPORTER}samples_total')} * 0"
                ),
                look=Look("percentunit", 2, steps=((None, "green"), (0.001, "yellow"), (0.05, "red"))),
            ),
            stat(
                "Faults survived",
                "Exceptions that were caught in the chosen time. Each one is a bug: please report it.",
                Query(f"{increase(f'{EXPORTER}faults_total')} or vector(0)"),
                look=Look("none", 0, steps=colours.ANY_IS_BAD),
            ),
        ),
    )


_REQUESTS = f'{TARGET}, share="requests"'
_LINES = increase(f"{EXPORTER}log_lines_total", where=SERVER)


def _sensors() -> Row:
    return Row(
        "Sensors",
        (
            timeseries(
                "Counter over integrated power",
                "A line for each device. Two ways to the same energy: the device's own counter, and power over "
                "time. Between the dashed lines they agree within 5 %.",
                Query(total(RATIO, "instance, device"), DEVICE),
                look=Look("none", 2, least=None, steps=((None, "red"), (0.95, "green"), (1.05, "red"))),
                width=8,
                bounds=True,
                legend=False,
            ),
            timeseries(
                "Sensor period",
                "A line for each device: how often a sensor really shows something new. What happens faster cannot "
                "be seen, only attributed.",
                Query(total("llm_power_sensor_period_seconds", "instance, device"), DEVICE),
                look=Look("s"),
                width=8,
                legend=False,
            ),
            timeseries(
                "Energy comes from the counter",
                "A line for each device. Yes: from its own counter. No: it has none, or it is distrusted and power "
                "is integrated instead.",
                Query(total(f"{EXPORTER}meter_in_use", "instance, device"), DEVICE),
                look=Look("none", 0, most=1.0, names=YES_NO),
                width=8,
                legend=False,
            ),
            timeseries(
                "Readings that failed, by reason",
                "A second, over all devices. None is what it should be.",
                Query(or_none(rate(f"{EXPORTER}sample_errors_total", "reason"), "reason"), "{{reason}}"),
                look=Look("ops", colours={"none": "green"}),
                width=8,
            ),
            timeseries(
                "Gaps: energy interpolated, time lost",
                "Where readings failed: energy that the counter gave for the whole gap (left), and seconds for which "
                "no energy is known because no counter covers them (right).",
                Query(rate(f"{EXPORTER}interpolated_joules_total"), "interpolated"),
                Query(f"sum(increase({EXPORTER}gap_seconds_total{{{TARGET}}}[$__rate_interval]))", "lost"),
                look=Look("watt", colours={"interpolated": "orange", "lost": "red"}),
                right={"lost": "s"},
                width=8,
            ),
            timeseries(
                "Time between readings, time of a reading",
                "The interval grows by itself where readings are slow, so that the driver is not held up.",
                Query(f"max(llm_energy_exporter_sample_interval_seconds{{{TARGET}}})", "between"),
                Query(f"max(llm_energy_exporter_sample_call_seconds{{{TARGET}}})", "reading"),
                look=Look("s", least=None, colours={"between": "blue", "reading": "orange"}),
                width=8,
                logarithmic=True,
            ),
        ),
    )


def _books() -> Row:
    return Row(
        "Books",
        (
            timeseries(
                "Where booked energy went",
                "Shares of the booked energy. Red is the energy of requests that are not known.",
                Query(f"{rate(BOOKED, 'share')} / scalar({rate(BOOKED)} > 0)", "{{share}}"),
                look=Look("percentunit", most=1.0, colours=colours.SHARES),
                stacked=True,
                width=8,
            ),
            timeseries(
                "Settle lag",
                "A line for each server: how long after its end a request's energy is booked now. It follows how "
                "late the log is.",
                Query(total(f"{EXPORTER}settle_lag_seconds", "instance, server", SERVER), HERE),
                look=Look("s"),
                width=8,
                legend=False,
            ),
            timeseries(
                "How far off starts and ends may be",
                "The worst of all servers: running mean of what the log's precision leaves open. A log of whole "
                "seconds leaves half a second open.",
                Query(
                    f"max by (edge) ({EXPORTER}event_uncertainty_seconds{{{SERVER}}})",
                    "{{edge}}",
                ),
                look=Look("s", least=None),
                width=8,
                logarithmic=True,
            ),
        ),
    )


def _logs() -> Row:
    return Row(
        "Logs and servers",
        (
            timeseries(
                "Log lines by outcome",
                "Used: told something. Ignored: about something else. Dropped: looked like a request's and could "
                "not be used.",
                Query(rate(f"{EXPORTER}log_lines_total", "outcome", SERVER), "{{outcome}}"),
                look=Look("ops", colours=colours.LINES),
                stacked=True,
                width=8,
            ),
            timeseries(
                "Dropped lines by reason",
                "None is what it should be. The reasons of a log format are listed where it is described.",
                Query(or_none(rate(f"{EXPORTER}log_lines_total", "reason", DROPPED), "reason"), "{{reason}}"),
                look=Look("ops", colours={"none": "green"}),
                width=8,
            ),
            timeseries(
                "How requests were seen to end",
                "Finish and abort come from the log. Restart, timeout and reuse are ends that were concluded.",
                Query(rate(f"{EXPORTER}closings_total", "how", SERVER), "{{how}}"),
                look=Look("reqps"),
                stacked=True,
                width=8,
            ),
            timeseries(
                "Requests running: the log against the server itself",
                "Both views of the same, where metrics_url is configured. Where they part, the log is silent or "
                "late; a log that tells of requests when they are over shows none that run.",
                Query(f"sum({_view('log')} and on (job, instance, server) {_view('server')})", "log"),
                Query(f"sum({_view('server')})", "server"),
                look=Look("none", colours={"log": "yellow", "server": "blue"}, nothing="no metrics_url"),
                width=8,
            ),
            timeseries(
                "Log not read yet",
                "A line for each server. It falls back to nothing unless the exporter cannot keep up.",
                Query(total(f"{EXPORTER}log_lag_bytes", "instance, server", SERVER), HERE),
                look=Look("bytes"),
                width=8,
                legend=False,
            ),
            timeseries(
                "Told twice, ended without a start, server silent",
                "A second: starts or ends heard twice and counted once; ends whose start was never heard; times a "
                "server's own metrics did not answer.",
                Query(rate(f"{EXPORTER}duplicates_total", where=SERVER), "told twice"),
                Query(rate(f"{EXPORTER}orphans_total", where=SERVER), "no start"),
                Query(rate(f"{EXPORTER}server_reading_failures_total", where=SERVER), "server silent"),
                look=Look("ops"),
                width=8,
            ),
        ),
    )


def _view(view: str) -> str:
    return f'llm_running_requests{{{SERVER}, view="{view}"}}'


def _exporter() -> Row:
    policies = f"count by (configured, policy) (llm_attribution_policy_info{{{SERVER}}})"
    sources = f"count by (source, counter, method) (llm_power_source_info{{{TARGET}}})"
    return Row(
        "The exporter itself",
        (
            timeseries(
                "CPU",
                "Of one core, user and system, each exporter.",
                Query(rate(f"{EXPORTER}process_cpu_seconds_total", "instance"), "{{instance}}"),
                look=Look("percentunit"),
                width=6,
            ),
            timeseries(
                "Memory",
                "Resident memory of each exporter.",
                Query(total(f"{EXPORTER}process_resident_memory_bytes", "instance"), "{{instance}}"),
                look=Look("bytes"),
                width=6,
            ),
            timeseries(
                "Age of the books",
                "How old the numbers were when Prometheus asked. More than some seconds: the exporter hangs.",
                Query(f"time() - {total(f'{EXPORTER}snapshot_timestamp_seconds', 'instance')}", "{{instance}}"),
                look=Look("s"),
                width=6,
            ),
            timeseries(
                "Faults, failures, clock steps",
                "In the interval: exceptions survived, states and recordings that could not be written, times somebody "
                "set the clock, times a label's bound was reached. None is what it should be.",
                *(
                    Query(f"{rate(f'{EXPORTER}{name}_total')} or vector(0)", legend)
                    for name, legend in (
                        ("faults", "faults"),
                        ("checkpoint_failures", "state not saved"),
                        ("clock_steps", "clock set"),
                        ("label_overflows", "label full"),
                    )
                ),
                look=Look("ops", colours={"faults": "red"}),
                width=6,
            ),
            table(
                "Attribution policy",
                "As configured, and in force. They differ until the configured one can be trusted.",
                {"configured": "Configured", "policy": "In force"},
                Column("Servers", policies, Look("none", 0)),
                width=12,
                height=6,
            ),
            table(
                "Where power comes from",
                "Measured by a sensor, estimated by a model of the device, simulated, or played from a recording.",
                {"source": "Source", "counter": "Energy counter", "method": "Method"},
                Column("Exporters", sources, Look("none", 0)),
                width=12,
                height=6,
            ),
        ),
    )


BOARD = Board(
    "quality",
    "LLM energy / Measurement quality",
    "Whether the other dashboards can be believed: sensors, books, logs, and the exporter itself.",
    (JOB, INSTANCE, SERVER_CHOICE),
    (_verdicts(), _sensors(), _books(), _logs(), _exporter()),
    TARGET,
)
