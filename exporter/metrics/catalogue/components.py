"""Component-level energy: what `components` found out about models, served from its result files."""

from exporter.metrics.catalogue.family import Family

_CASE = ("model", "phase", "batch", "sequence", "dtype", "hidden_size", "heads", "name", "method")
_COMPONENT = (*_CASE, "component", "module")

COMPONENT_ENERGY = Family(
    "llm_component_energy_joules",
    "gauge",
    "Energy of one run of a model's component, replayed alone: as measured beforehand, not now.",
    (*_COMPONENT, "stat"),
    "Components of models",
)
COMPONENT_ENERGY_PER_FLOP = Family(
    "llm_component_energy_per_flop_joules",
    "gauge",
    "The same over the floating-point operations of that run. Absent where PyTorch counts none.",
    (*_COMPONENT, "stat"),
    "Components of models",
)
COMPONENT_FLOPS = Family(
    "llm_component_flops",
    "gauge",
    "Floating-point operations of one run of the component, as PyTorch counts them.",
    _COMPONENT,
    "Components of models",
    "experimental",
)
COMPONENT_CV = Family(
    "llm_component_cv_ratio",
    "gauge",
    "Coefficient of variation of the component's energy over its trials: standard deviation over mean.",
    (*_COMPONENT, "stat"),
    "Components of models",
    "experimental",
)
COMPONENT_CAPTURE = Family(
    "llm_component_capture_ratio",
    "gauge",
    "Energy of all components of a model or block, each times how often it runs, over that of the whole run by itself.",
    (*_COMPONENT, "stat"),
    "Components of models",
    "experimental",
)
COMPONENT_MEASURED = Family(
    "llm_component_measured_timestamp_seconds",
    "gauge",
    "When the case was measured, in seconds since the Unix epoch.",
    _CASE,
    "Components of models",
    "experimental",
)
COMPONENT_FILES = Family(
    "llm_energy_exporter_component_files",
    "gauge",
    "Result files that are served now.",
    (),
    "Components of models",
    "experimental",
)
COMPONENT_PROBLEMS = Family(
    "llm_energy_exporter_component_problems",
    "gauge",
    "Result files that cannot be read now. The log says why; what was read of them before is not shown any more.",
    (),
    "Components of models",
    "experimental",
)
COMPONENT_LEFT_OUT = Family(
    "llm_energy_exporter_component_cases_left_out",
    "gauge",
    "Cases in result files for which there is no room on this page. The latest are shown.",
    (),
    "Components of models",
    "experimental",
)

FAMILIES = (
    COMPONENT_ENERGY,
    COMPONENT_ENERGY_PER_FLOP,
    COMPONENT_FLOPS,
    COMPONENT_CV,
    COMPONENT_CAPTURE,
    COMPONENT_MEASURED,
    COMPONENT_FILES,
    COMPONENT_PROBLEMS,
    COMPONENT_LEFT_OUT,
)
"""In the order of the page."""
