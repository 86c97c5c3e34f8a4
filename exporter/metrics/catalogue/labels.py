"""What every label means."""

LABELS = {
    "batch": "sequences side by side",
    "budget": "name of an energy budget of the configuration",
    "component": "`model`, `block`, `embedding`, `attention`, `cross_attention`, `mlp`, `experts`, `router`, `norm`, "
    "`lm_head`",
    "configured": "the attribution policy that the configuration asks for",
    "counter": "whether the source reads an energy counter: `true` or `false`",
    "device": "short name on this machine: `gpu0`, `cpu0`, `dram0`",
    "direction": "`input` (prompt) or `output` (generated)",
    "dtype": "of weights and activations, as PyTorch calls it",
    "edge": "`start` or `end` of a request",
    "engine": "what serves the model, as the configuration calls it, else its request source (`vllm`); empty: unknown",
    "ground": "what a proxy is held against: `isolated` (requests that ran alone, metered), `window` (stretches of "
    "time, metered) or `request` (shares, by the attribution policy: no headline)",
    "heads": "attention heads of the model, empty where it does not say",
    "hidden_size": "width of the model, empty where it does not say",
    "how": "how a request was seen to end: `finish`, `abort`, `release`, `timeout`, `reuse`, `restart`",
    "kind": "`gpu`, `cpu` or `dram`",
    "label": "the bounded label whose bound was reached",
    "method": "`measured` by a sensor, `estimated` by a model of the device, `simulated`: nothing real drew it, "
    "`recorded`: played from a recording of another time and place, or `time_proxy`: predicted from time",
    "model": "the model's name, from the log or configured; `other` past the bound",
    "module": "the module that was replayed, as PyTorch names it; empty for the model",
    "name": "the device's product name",
    "outcome": "of a request: `ok`, `error`, `aborted`; of a log line: `used`, `ignored`, `dropped`",
    "per": "the window of an energy budget, such as `1d`, or `request`",
    "phase": "`prefill` or `decode`",
    "policy": "the attribution policy in force: `time`, `tokens`, `steps`",
    "proxy": "`time`, `affine_time`, `time_share`, `tokens`, `step_model`, `peak`",
    "reason": "from a closed set per source or reader; empty where nothing needs a reason",
    "score": "`r2` (1: perfect, below 0: the mean does better), `mape` (mean of absolute error / actual), "
    "`bias` (sum of errors / sum of actual, above 0: too much), `pearson`, `spearman`",
    "sequence": "tokens of each sequence: of the prompt in prefill, in the cache before the decoded one in decode",
    "server": "the name of the inference server in the configuration",
    "share": "`requests`, `idle` (no request ran) or `unattributed` (caused by a request that is not known)",
    "source": "the power source: `nvml`, `rapl`, `cpu`, `recording`, `simulated`",
    "stage": "the part of the exporter in which the fault was caught",
    "stat": "of a component's trials: `gross_mean`, `gross_stddev`, `net_mean`, `net_stddev`, or `gross`, `net`; net "
    "is without idle power, and may be below 0",
    "tenant": "whom a request is billed to: a header's value, a key's hash; `unknown` if it named nobody, `other` past "
    "`labels.tenant.max`",
    "term": "what costs the joules: a `step`, a token (`prefill_token`, `decode_token`, `context_token`, "
    "`prompt_token`, `output_token`), a `request`, a `second` or `shared_second` (watts); `idle` is in watts",
    "uuid": "the vendor's identity of the device, empty where there is none",
    "version": "the exporter's version",
    "view": "who says so: `log`",
    "wanted": "a power source that `auto` would rather have taken",
}
