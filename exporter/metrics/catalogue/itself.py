"""The exporter itself, beside the data and never mixed with it."""

from exporter.metrics.catalogue.family import Family

BUILD = Family("llm_energy_exporter_build_info", "info", "The exporter's version.", ("version",), "The exporter itself")
CPU_TIME = Family(
    "llm_energy_exporter_process_cpu_seconds_total",
    "counter",
    "User and system CPU time of the exporter.",
    (),
    "The exporter itself",
)
MEMORY = Family(
    "llm_energy_exporter_process_resident_memory_bytes",
    "gauge",
    "Resident memory of the exporter.",
    (),
    "The exporter itself",
)
START_TIME = Family(
    "llm_energy_exporter_process_start_time_seconds",
    "gauge",
    "When the exporter started, in seconds since the Unix epoch.",
    (),
    "The exporter itself",
)
BOOKS_START = Family(
    "llm_energy_exporter_books_start_time_seconds",
    "gauge",
    "When the books shown here began, in seconds since the Unix epoch: before the exporter started, if it took up "
    "earlier ones. Counters were 0 then.",
    (),
    "The exporter itself",
)
SNAPSHOT_TIME = Family(
    "llm_energy_exporter_snapshot_timestamp_seconds",
    "gauge",
    "When the books shown here were made, in seconds since the Unix epoch.",
    (),
    "The exporter itself",
)
SOURCE_UP = Family(
    "llm_energy_exporter_source_up",
    "gauge",
    "1 if the last round of readings got an answer from any device, else 0.",
    ("source",),
    "The exporter itself",
)
SAMPLE_INTERVAL = Family(
    "llm_energy_exporter_sample_interval_seconds",
    "gauge",
    "Present time between readings: longer than configured while readings are slow.",
    ("source",),
    "The exporter itself",
)
SAMPLE_CALL = Family(
    "llm_energy_exporter_sample_call_seconds",
    "gauge",
    "Smoothed duration of one round of readings.",
    ("source",),
    "The exporter itself",
)
SAMPLES = Family(
    "llm_energy_exporter_samples_total", "counter", "Readings that arrived.", ("device",), "The exporter itself"
)
SAMPLE_ERRORS = Family(
    "llm_energy_exporter_sample_errors_total",
    "counter",
    "Readings that failed.",
    ("device", "reason"),
    "The exporter itself",
)
INTERPOLATED_ENERGY = Family(
    "llm_energy_exporter_interpolated_joules_total",
    "counter",
    "Energy taken from the counter across a gap in the readings: its sum is metered, its course in between is not.",
    ("device",),
    "The exporter itself",
)
GAP_TIME = Family(
    "llm_energy_exporter_gap_seconds_total",
    "counter",
    "Time for which no energy is known, because readings failed and no counter covers it.",
    ("device",),
    "The exporter itself",
)
METER_RESETS = Family(
    "llm_energy_exporter_meter_resets_total",
    "counter",
    "Times the device's energy counter went back.",
    ("device",),
    "The exporter itself",
)
METER_IN_USE = Family(
    "llm_energy_exporter_meter_in_use",
    "gauge",
    "1 if the device's energy comes from its counter, 0 where there is none or it is distrusted.",
    ("device",),
    "The exporter itself",
)
LOG_LINES = Family(
    "llm_energy_exporter_log_lines_total",
    "counter",
    "Lines of the server's log. A dropped line looked like a request's and could not be used.",
    ("server", "outcome", "reason"),
    "The exporter itself",
)
LOG_FILES = Family(
    "llm_energy_exporter_log_files", "gauge", "Log files followed now.", ("server",), "The exporter itself"
)
LOG_PROBLEMS = Family(
    "llm_energy_exporter_log_problems",
    "gauge",
    "Log files that cannot be read now. The landing page says why.",
    ("server",),
    "The exporter itself",
)
LOG_READ = Family(
    "llm_energy_exporter_log_read_bytes_total", "counter", "Bytes of log read.", ("server",), "The exporter itself"
)
LOG_ROTATIONS = Family(
    "llm_energy_exporter_log_rotations_total",
    "counter",
    "Log files seen to rotate.",
    ("server",),
    "The exporter itself",
)
LOG_LAG = Family(
    "llm_energy_exporter_log_lag_bytes", "gauge", "Bytes of log not read yet.", ("server",), "The exporter itself"
)
SETTLE_LAG = Family(
    "llm_energy_exporter_settle_lag_seconds",
    "gauge",
    "How long after its end a request's energy is booked now. Follows how late the log is.",
    ("server",),
    "The exporter itself",
)
CLOSINGS = Family(
    "llm_energy_exporter_closings_total",
    "counter",
    "Requests closed, by how they were seen to end.",
    ("server", "how"),
    "The exporter itself",
)
DUPLICATES = Family(
    "llm_energy_exporter_duplicates_total",
    "counter",
    "Starts or ends of requests heard twice and counted once.",
    ("server",),
    "The exporter itself",
)
ORPHANS = Family(
    "llm_energy_exporter_orphans_total",
    "counter",
    "Ends of requests whose start was never heard.",
    ("server",),
    "The exporter itself",
)
EVENT_UNCERTAINTY = Family(
    "llm_energy_exporter_event_uncertainty_seconds",
    "gauge",
    "How far off a request's start or end may be, as a running mean. Follows the precision of the log.",
    ("server", "edge"),
    "The exporter itself",
)
GAUGE_READINGS = Family(
    "llm_energy_exporter_server_readings_total",
    "counter",
    "Times a server's own metrics told how many requests run.",
    ("server",),
    "The exporter itself",
)
GAUGE_FAILURES = Family(
    "llm_energy_exporter_server_reading_failures_total",
    "counter",
    "Times a server's own metrics did not tell it, by reason.",
    ("server", "reason"),
    "The exporter itself",
)
LABEL_OVERFLOWS = Family(
    "llm_energy_exporter_label_overflows_total",
    "counter",
    "Times a label's bound was reached: a new `model` or `tenant` became `other`; a `proxy` had no room for a model.",
    ("label",),
    "The exporter itself",
)
CLOCK_STEPS = Family(
    "llm_energy_exporter_clock_steps_total",
    "counter",
    "Times somebody set the wall clock.",
    (),
    "The exporter itself",
)
CHECKPOINT_FAILURES = Family(
    "llm_energy_exporter_checkpoint_failures_total",
    "counter",
    "Times the state could not be saved.",
    (),
    "The exporter itself",
)
RECORDING_FAILURES = Family(
    "llm_energy_exporter_recording_failures_total",
    "counter",
    "Recordings that ended because they could not be written. Metering went on.",
    (),
    "The exporter itself",
)
WEB_GOOD = Family(
    "llm_energy_exporter_web_config_last_reload_successful",
    "gauge",
    "1: what stands in web.config_file, and in the certificates it names, is in force; 0: what stood there before is.",
    (),
    "The exporter itself",
)
WEB_CERTIFICATE = Family(
    "llm_energy_exporter_web_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the exporter's own TLS certificate ceases to hold, in seconds since the Unix epoch.",
    (),
    "The exporter itself",
)
WEB_REFUSALS = Family(
    "llm_energy_exporter_web_refusals_total",
    "counter",
    "Requests to the exporter that were not let in, by reason.",
    ("reason",),
    "The exporter itself",
)
FAULTS = Family(
    "llm_energy_exporter_faults_total",
    "counter",
    "Exceptions that were caught and survived. Each one is a bug: please report it.",
    ("stage",),
    "The exporter itself",
)

FAMILIES = (
    BUILD,
    CPU_TIME,
    MEMORY,
    START_TIME,
    BOOKS_START,
    SNAPSHOT_TIME,
    SOURCE_UP,
    SAMPLE_INTERVAL,
    SAMPLE_CALL,
    SAMPLES,
    SAMPLE_ERRORS,
    INTERPOLATED_ENERGY,
    GAP_TIME,
    METER_RESETS,
    METER_IN_USE,
    LOG_LINES,
    LOG_FILES,
    LOG_PROBLEMS,
    LOG_READ,
    LOG_ROTATIONS,
    LOG_LAG,
    SETTLE_LAG,
    CLOSINGS,
    DUPLICATES,
    ORPHANS,
    EVENT_UNCERTAINTY,
    GAUGE_READINGS,
    GAUGE_FAILURES,
    LABEL_OVERFLOWS,
    CLOCK_STEPS,
    CHECKPOINT_FAILURES,
    RECORDING_FAILURES,
    WEB_GOOD,
    WEB_CERTIFICATE,
    WEB_REFUSALS,
    FAULTS,
)
"""In the order of the page."""
