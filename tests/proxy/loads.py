"""Made-up stretches of time on a server, as a request log shows them."""

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.proxy.proxies import TERMS, predict_with
from exporter.proxy.proxy import Features, Floats

STRETCH_SECONDS = 5.0
PRICES = {
    "request": 150.0,
    "second": 60.0,
    "shared_second": 350.0,
    "prompt_token": 0.02,
    "output_token": 0.4,
    "step": 3.0,
    "prefill_token": 0.02,
    "decode_token": 0.07,
    "context_token": 1e-5,
}
"""What a cause costs in joules, by the term that names it."""


def stretches(rng: np.random.Generator, count: int) -> Features:
    """Stretches of five seconds in which the batch, the prompts and the queue vary."""
    busy = rng.uniform(1.0, STRETCH_SECONDS, count)
    batch = rng.uniform(1.0, 8.0, count)
    steps, requests = 50.0 * busy, busy * batch * rng.uniform(0.1, 0.5, count)
    decode, prompts = steps * batch, requests * rng.uniform(100.0, 2000.0, count)
    return Features(
        requests=requests,
        seconds=busy * batch + requests * rng.uniform(0.0, 3.0, count),
        served_seconds=busy * batch,
        shared_seconds=busy,
        prompt_tokens=prompts,
        output_tokens=decode + requests,
        prefill_tokens=prompts * rng.uniform(0.5, 1.0, count),
        decode_tokens=decode,
        step_shares=steps,
        context_tokens=decode * rng.uniform(100.0, 3000.0, count),
    )


def truth(name: ProxyName) -> dict[str, float]:
    """What this proxy is to find out where its theory holds."""
    return {term.name: PRICES[term.name] for term in TERMS[name]}


def energy(name: ProxyName, seen: Features) -> Floats:
    """Joules of each row in a world where this proxy's theory holds."""
    return predict_with(name, truth(name), seen)


def table(seen: Features) -> Floats:
    """All columns side by side, of shape (rows, columns)."""
    return np.stack([getattr(seen, column) for column in Features.__slots__], axis=1)


def features(rows: Floats) -> Features:
    """The other way round."""
    return Features(*rows.T)
