"""What proxies learned, made portable: calibrations, estimates with intervals, what hardware fits latencies."""
