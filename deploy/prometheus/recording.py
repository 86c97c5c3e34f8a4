"""Recording rules: what dashboards and alerts ask for again and again, and what remains of a fleet.

Everything that is added up over exporters is added up `without` what tells them apart, so whatever other labels the
targets have (`job`, `namespace`, `cluster`) stays. Sums over long windows are made of recorded rates, never of raw
series: a week of ten thousand exporters is more than a Prometheus reads at once.
"""

from deploy.prometheus.rules import INTERVAL_SECONDS, TARGETS, Group, Recording

_DEVICES = "device, uuid"

HEAD = """
Recording rules of llm-energy-exporter. Written by `python -m deploy.prometheus`; do not edit.

Names are level:metric:operations; the level says which of the exporter's own labels are left. What tells exporters
apart (instance, pod, node) is added up, but for level `instance_`; all other labels of the target stay.
"""


def added_up(inner: str, *labels: str) -> str:
    """The sum over exporters, and over these labels."""
    return f"sum without ({', '.join((TARGETS, *labels))}) ({inner})"


def rate(level: str, series: str, *labels: str) -> Recording:
    """The five minutes' rate of a counter, added up over exporters and these labels."""
    return Recording(f"{level}:{series.removesuffix('_total')}:rate5m", added_up(f"rate({series}[5m])", *labels))


def over_a_day(level: str, metric: str, interval: int) -> Recording:
    """What a recorded rate adds up to in a day; times without the series count as nothing."""
    return Recording(f"{level}:{metric}:increase1d", f"sum_over_time({level}:{metric}:rate5m[1d]) * {interval}")


def recording_groups(interval: int = INTERVAL_SECONDS) -> tuple[Group, ...]:
    """All but the budgets' own."""
    return (
        Group("llm-energy-requests", _requests(interval)),
        Group("llm-energy-power", _power()),
        Group("llm-energy-time-proxy", _proxies()),
    )


def _requests(interval: int) -> tuple[Recording, ...]:
    joules, tokens = "server_model_method:llm_request_energy_joules", "server_model_direction:llm_tokens:rate5m"
    return (
        rate("server_model_method_le", "llm_request_energy_joules_bucket"),
        rate("server_model_method", "llm_request_energy_joules_sum"),
        rate("server_model_method", "llm_request_energy_joules_count"),
        rate("server_model_le", "llm_request_duration_seconds_bucket"),
        rate("server_model", "llm_request_duration_seconds_sum"),
        rate("server_model_le", "llm_request_time_to_first_token_seconds_bucket"),
        rate("server_model_outcome", "llm_requests_total"),
        rate("server_model_direction", "llm_tokens_total"),
        rate("server_model_phase", "llm_phase_energy_joules_total"),
        rate("server", "llm_energy_late_joules_total"),
        rate("server", "llm_carbon_dioxide_equivalent_grams_total"),
        rate("server_tenant", "llm_tenant_energy_joules_total"),
        over_a_day("server_tenant", "llm_tenant_energy_joules", interval),
        Recording("server_view:llm_running_requests:sum", added_up("llm_running_requests")),
        Recording(
            "server_model_method:llm_joules_per_request:ratio_rate5m",
            f"{joules}_sum:rate5m / ({joules}_count:rate5m > 0)",
        ),
        Recording(
            "server_model:llm_joules_per_output_token:ratio_rate5m",
            f"""
            sum without (method) ({joules}_sum:rate5m)
            /
            (sum without (direction) ({tokens}{{direction="output"}}) > 0)
            """,
        ),
    )


def _power() -> tuple[Recording, ...]:
    booked = "llm_energy_joules:rate5m"
    return (
        Recording("kind:llm_device_power_watts:sum", added_up("llm_device_power_watts", _DEVICES, "name")),
        Recording("kind:llm_device_idle_power_watts:sum", added_up("llm_device_idle_power_watts", _DEVICES, "name")),
        rate("kind", "llm_device_energy_joules_total", _DEVICES, "name"),
        Recording(f"instance_kind_share:{booked}", f"sum without ({_DEVICES}) (rate(llm_energy_joules_total[5m]))"),
        Recording(f"kind_share:{booked}", added_up(f"instance_kind_share:{booked}")),
        Recording("kind:llm_energy_unsettled_joules:sum", added_up("llm_energy_unsettled_joules", _DEVICES)),
        Recording(
            "version:llm_energy_exporter_build_info:count",
            f"count without ({TARGETS}) (llm_energy_exporter_build_info)",
        ),
    )


def _proxies() -> tuple[Recording, ...]:
    predicted = "server_model_proxy:llm_time_proxy_energy_joules:rate5m"
    return (
        rate("server_model_proxy", "llm_time_proxy_energy_joules_total"),
        rate("server_model_proxy_ground", "llm_time_proxy_samples_total"),
        Recording(
            "server_model_proxy:llm_time_proxy_joules_per_joule:ratio_rate1h",
            f"""
            avg_over_time({predicted}[1h])
            / ignoring (proxy) group_left ()
            (sum without (method) (
              avg_over_time(server_model_method:llm_request_energy_joules_sum:rate5m{{method!="time_proxy"}}[1h])
            ) > 0)
            """,
        ),
        Recording(
            "server_model_proxy_ground_score:llm_time_proxy_score:avg",
            f"avg without ({TARGETS}) (llm_time_proxy_score)",
        ),
        Recording(
            "server_model_proxy_ground:llm_time_proxy_drifting:max",
            f"max without ({TARGETS}) (llm_time_proxy_drifting)",
        ),
    )
