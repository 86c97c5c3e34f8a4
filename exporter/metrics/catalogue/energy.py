"""Power and energy of the devices."""

from exporter.metrics.catalogue.family import Family

_DEVICE = ("device", "kind", "uuid")
_NAMED_DEVICE = (*_DEVICE, "name")

DEVICE = Family(
    "llm_device_info",
    "info",
    "A device that is metered, and how its energy comes to be known.",
    (*_NAMED_DEVICE, "method"),
    "Power and energy",
)
SERVER_DEVICE = Family(
    "llm_server_device_info",
    "info",
    "A device that works for a server. Servers that share a device share its energy.",
    ("server", *_DEVICE),
    "Power and energy",
)
DEVICE_POWER = Family(
    "llm_device_power_watts",
    "gauge",
    "Latest power of the device, sampled on the exporter's own timer. Absent while its sensor is silent.",
    _NAMED_DEVICE,
    "Power and energy",
)
DEVICE_IDLE_POWER = Family(
    "llm_device_idle_power_watts",
    "gauge",
    "Power of the device with its model loaded and no request running, learned or configured. Absent until known.",
    _NAMED_DEVICE,
    "Power and energy",
)
DEVICE_ENERGY = Family(
    "llm_device_energy_joules_total",
    "counter",
    "Energy of the device as metered, integrated on the exporter's own timer.",
    _NAMED_DEVICE,
    "Power and energy",
)
ENERGY = Family(
    "llm_energy_joules_total",
    "counter",
    "Energy as booked. Over all shares, plus what is unsettled, it adds up to the meter, device by device.",
    (*_DEVICE, "share"),
    "Power and energy",
)
ENERGY_UNSETTLED = Family(
    "llm_energy_unsettled_joules",
    "gauge",
    "Energy metered but not booked yet, because news about its requests may still come.",
    _DEVICE,
    "Power and energy",
)
ENERGY_LATE = Family(
    "llm_energy_late_joules_total",
    "counter",
    "Energy that late requests were due but could not be given, because it was booked already. Part of other shares.",
    ("server",),
    "Power and energy",
)
POWER_SOURCE = Family(
    "llm_power_source_info",
    "info",
    "Where power comes from, and whether it is measured, estimated, simulated or played from a recording.",
    ("source", "counter", "method"),
    "Power and energy",
)
POWER_SOURCE_FALLBACK = Family(
    "llm_power_source_fallback_info",
    "info",
    "A power source that `auto` would rather have taken, and why it does not work. Absent once it is used.",
    ("wanted", "reason"),
    "Power and energy",
)
POWER_SENSOR_PERIOD = Family(
    "llm_power_sensor_period_seconds",
    "gauge",
    "Measured update period of the sensor behind the device's energy. Absent until measured.",
    _DEVICE,
    "Power and energy",
)
POWER_COUNTER_RATIO = Family(
    "llm_power_counter_ratio",
    "gauge",
    "Energy counter over integrated power in the latest full window: near 1 when both tell the truth.",
    _DEVICE,
    "Power and energy",
)

FAMILIES = (
    DEVICE,
    SERVER_DEVICE,
    DEVICE_POWER,
    DEVICE_IDLE_POWER,
    DEVICE_ENERGY,
    ENERGY,
    ENERGY_UNSETTLED,
    ENERGY_LATE,
    POWER_SOURCE,
    POWER_SOURCE_FALLBACK,
    POWER_SENSOR_PERIOD,
    POWER_COUNTER_RATIO,
)
"""In the order of the page."""
