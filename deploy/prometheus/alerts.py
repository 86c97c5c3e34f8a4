"""Alerts on waste, on the quality of the measurement, and on the exporter itself."""

from deploy.prometheus.rules import Alert, Group

HEAD = """
Alerts of llm-energy-exporter. Written by `python -m deploy.prometheus`; do not edit. They need recording.yml.

Each has a runbook in docs/runbooks, and in tests/deploy/rules a story in which it fires and one in which it is silent.
"""

_GPU_POWER = 'llm_device_power_watts{kind="gpu"}'
_GPU_IDLE = 'llm_device_idle_power_watts{kind="gpu"}'
_DEVICE = "device, kind, uuid, name"
_BOOKED = "instance_kind_share:llm_energy_joules:rate5m"


def alert_groups() -> tuple[Group, ...]:
    """All but the budgets' own."""
    return (
        Group("llm-energy-waste", (_idle(),)),
        Group("llm-energy-meter", (_source_down(), _fallback(), _sensor_silent(), _counter(), _books())),
        Group(
            "llm-energy-news",
            (_log_silent(), _log_unreadable(), _dropped(), _lost(), _late(), _unattributed(), _gauge()),
        ),
        Group("llm-energy-time-proxy-drift", (_drift(),)),
        Group("llm-energy-exporter", (_faults(), _not_saved(), _down(), _absent())),
    )


def _idle() -> Alert:
    return Alert(
        "LLMEnergyIdleWaste",
        f"""
        sum without (share) (avg_over_time({_BOOKED}{{kind="gpu", share="idle"}}[6h]))
        /
        (sum without (share) (avg_over_time({_BOOKED}{{kind="gpu"}}[6h])) > 0)
        > 0.9
        """,
        "1h",
        "info",
        "GPUs of {{ $labels.instance }} are on and serve nobody",
        """{{ $value | humanizePercentage }} of the energy of the GPUs that {{ $labels.instance }} meters went into
        waiting for requests, in the last 6 hours.""",
    )


def _source_down() -> Alert:
    return Alert(
        "LLMEnergyPowerSourceDown",
        "llm_energy_exporter_source_up == 0",
        "5m",
        "critical",
        "Nothing answers power source {{ $labels.source }} of {{ $labels.instance }}",
        """Readings of {{ $labels.source }} on {{ $labels.instance }} have got no answer from any device. What
        is used meanwhile is known only where an energy counter goes on counting.""",
    )


def _fallback() -> Alert:
    return Alert(
        "LLMEnergyPowerSourceFallback",
        'llm_power_source_fallback_info{wanted="nvml", reason!="library_not_found"} == 1',
        "30m",
        "warning",
        "NVML is there and does not work on {{ $labels.instance }}: something else stands in for it",
        """NVML's library is on {{ $labels.instance }}, so there should be GPUs, but it refuses: {{ $labels.reason }}.
        Their energy is not metered; what is shown instead is that of the host, perhaps estimated.""",
    )


def _sensor_silent() -> Alert:
    return Alert(
        "LLMEnergySensorSilent",
        "llm_device_energy_joules_total unless llm_device_power_watts",
        "5m",
        "warning",
        "The sensor of {{ $labels.device }} on {{ $labels.instance }} is silent",
        """{{ $labels.device }} ({{ $labels.name }}) on {{ $labels.instance }} was metered before and now shows no
        power. It stands at {{ $value | humanize }}J.""",
    )


def _counter() -> Alert:
    return Alert(
        "LLMEnergyCounterDistrusted",
        """
        (llm_power_counter_ratio < 0.8 or llm_power_counter_ratio > 1.25)
        or
        llm_power_counter_ratio and ignoring (kind, uuid) llm_energy_exporter_meter_in_use == 0
        """,
        "15m",
        "warning",
        "The energy counter of {{ $labels.device }} on {{ $labels.instance }} does not agree with its power",
        """The counter of {{ $labels.device }} on {{ $labels.instance }} said {{ $value | humanize }} times the energy
        that its power readings add up to, or stood still. Out of all reason it is not used, and energy comes
        from power instead.""",
    )


def _books() -> Alert:
    metered = "sum without (name) (llm_device_energy_joules_total)"
    return Alert(
        "LLMEnergyBooksOutOfBalance",
        f"""
        abs(
          {metered}
          - (sum without (share) (llm_energy_joules_total) + llm_energy_unsettled_joules)
        )
        > (1 + 0.000001 * {metered})
        """,
        "10m",
        "critical",
        "Metered and booked energy of {{ $labels.device }} on {{ $labels.instance }} differ",
        """What was metered on {{ $labels.device }} of {{ $labels.instance }} and what was booked or is still unsettled
        are {{ $value | humanize }}J apart. They are equal by construction: this is a bug, or the state was tampered
        with.""",
    )


def _log_silent() -> Alert:
    return Alert(
        "LLMEnergyLogSilent",
        f"""
        sum without ({_DEVICE}) ({_GPU_POWER} and {_GPU_IDLE})
        > 1.5 * sum without ({_DEVICE}) ({_GPU_IDLE} and {_GPU_POWER})
        unless
        sum without (server, model, outcome) (rate(llm_requests_total[15m])) > 0
        unless
        sum without (server, view) (llm_running_requests{{view="log"}}) > 0
        """,
        "15m",
        "warning",
        "GPUs of {{ $labels.instance }} work, and nobody tells of a request",
        """The GPUs that {{ $labels.instance }} meters draw {{ $value | humanize }}W, far more than idle, but no
        request has been told of. The energy is being booked as idle or unattributed.""",
    )


def _log_unreadable() -> Alert:
    return Alert(
        "LLMEnergyLogUnreadable",
        "llm_energy_exporter_log_problems > 0",
        "10m",
        "warning",
        "A log of server {{ $labels.server }} cannot be read on {{ $labels.instance }}",
        """{{ $value | humanize }} of the logs of {{ $labels.server }} cannot be read on {{ $labels.instance }}.
        Requests that stand only there are not known.""",
    )


def _dropped() -> Alert:
    lines = "llm_energy_exporter_log_lines_total"
    return Alert(
        "LLMEnergyLinesDropped",
        f"""
        sum without (outcome, reason) (rate({lines}{{outcome="dropped"}}[15m]))
        /
        (sum without (outcome, reason) (rate({lines}{{outcome=~"used|dropped"}}[15m])) > 0)
        > 0.01
        """,
        "15m",
        "warning",
        "Log lines of server {{ $labels.server }} look like requests and cannot be used",
        """{{ $value | humanizePercentage }} of the lines of {{ $labels.server }} on {{ $labels.instance }} that are
        about requests were dropped.""",
    )


def _lost() -> Alert:
    closings = "llm_energy_exporter_closings_total"
    return Alert(
        "LLMEnergyRequestsLost",
        f"""
        (
          sum without (how) (rate({closings}{{how="timeout"}}[30m]))
          + rate(llm_energy_exporter_orphans_total[30m])
        )
        /
        (sum without (how) (rate({closings}[30m])) > 0)
        > 0.02
        """,
        "30m",
        "warning",
        "Requests of server {{ $labels.server }} have no start or no end",
        """Of {{ $value | humanizePercentage }} of the requests of {{ $labels.server }} on {{ $labels.instance }} either
        the start or the end was never heard.""",
    )


def _late() -> Alert:
    return Alert(
        "LLMEnergyRequestsLate",
        """
        avg_over_time(server:llm_energy_late_joules:rate5m[1h])
        /
        (sum without (model, method) (avg_over_time(server_model_method:llm_request_energy_joules_sum:rate5m[1h])) > 0)
        > 0.01
        """,
        "15m",
        "warning",
        "Requests of server {{ $labels.server }} are told of too late to get their energy",
        """Requests of {{ $labels.server }} missed {{ $value | humanizePercentage }} of their energy in the last hour,
        because it had been booked before they were told of. It stands under other shares.""",
    )


def _unattributed() -> Alert:
    return Alert(
        "LLMEnergyUnattributedHigh",
        f"""
        sum without (share) (avg_over_time({_BOOKED}{{kind="gpu", share="unattributed"}}[1h]))
        /
        (sum without (share) (avg_over_time({_BOOKED}{{kind="gpu", share!="idle"}}[1h])) > 0)
        > 0.1
        """,
        "30m",
        "warning",
        "Much of the busy energy on {{ $labels.instance }} belongs to no known request",
        """{{ $value | humanizePercentage }} of the energy that requests used on the GPUs of
        {{ $labels.instance }} cannot be given to any of them.""",
    )


def _gauge() -> Alert:
    server = 'sum without (view) (avg_over_time(llm_running_requests{view="server"}[15m]))'
    told = 'sum without (view) (avg_over_time(llm_running_requests{view="log"}[15m]))'
    much = f"(2 + 0.25 * {server})"
    settled = "sum without (model) (rate(llm_request_duration_seconds_sum[15m]))"
    return Alert(
        "LLMEnergyGaugeDisagrees",
        f"""
        {told} - {server} > {much}
        or
        (
          {server} - {told} > {much}
          unless
          abs({server} - {settled}) <= {much}
        )
        """,
        "15m",
        "warning",
        "Server {{ $labels.server }} runs other requests than were told of",
        """Server {{ $labels.server }} itself and what was told of its requests differ by {{ $value | humanize }}
        running requests, as a mean over 15 minutes on {{ $labels.instance }}.""",
    )


def _drift() -> Alert:
    return Alert(
        "LLMEnergyProxyDrift",
        'server_model_proxy_ground:llm_time_proxy_drifting:max{ground!="request"} == 1',
        "30m",
        "info",
        "Proxy {{ $labels.proxy }} errs otherwise than it used to for {{ $labels.model }} on {{ $labels.server }}",
        """Recent errors of proxy {{ $labels.proxy }} for {{ $labels.model }} on {{ $labels.server }}, held against
        ground {{ $labels.ground }}, have left their own history further than chance would take them.""",
    )


def _faults() -> Alert:
    faults = "llm_energy_exporter_faults_total"
    return Alert(
        "LLMEnergyExporterFaults",
        f"""
        increase({faults}[15m]) > 0
        or
        {faults} unless {faults} offset 15m
        """,
        "1m",
        "warning",
        "The exporter on {{ $labels.instance }} caught a fault of its own",
        """{{ $value | humanize }} exceptions in stage {{ $labels.stage }} on {{ $labels.instance }} were caught and
        survived in the last 15 minutes. Each is a bug; please report it.""",
    )


def _not_saved() -> Alert:
    return Alert(
        "LLMEnergyStateNotSaved",
        "increase(llm_energy_exporter_checkpoint_failures_total[15m]) > 0",
        "5m",
        "warning",
        "The exporter on {{ $labels.instance }} cannot save its state",
        """{{ $value | humanize }} checkpoints on {{ $labels.instance }} failed in the last 15 minutes. /metrics shows
        the last state that was saved, and a restart would go on from there.""",
    )


def _down() -> Alert:
    return Alert(
        "LLMEnergyExporterDown",
        """
        up{job=~".*llm-energy-exporter.*"} == 0
        or
        up == 0 and on (job, instance) last_over_time(llm_energy_exporter_build_info[1h])
        """,
        "5m",
        "critical",
        "The exporter on {{ $labels.instance }} cannot be scraped",
        """Prometheus gets no answer from {{ $labels.instance }} (job {{ $labels.job }}). Nothing of its energy and its
        requests is seen meanwhile: it looks frugal and is not.""",
    )


def _absent() -> Alert:
    return Alert(
        "LLMEnergyExporterAbsent",
        "absent(llm_energy_exporter_build_info)",
        "15m",
        "critical",
        "No llm-energy-exporter is scraped at all",
        """Prometheus knows of no exporter, so no other alert of these can fire. Either there is none, or it is not
        found: look at the targets.""",
    )
