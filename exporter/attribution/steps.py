"""Policy `steps`: the Shapley split of an engine step's energy.

Theory of operation. An engine step over the members S costs, to a few percent for dense models,

    v(S) = a + sum over members of b_i

where `a` is what any member alone would cause (reading the weights) and `b_i` is each member's own part: its prefill
tokens, its decode token. The Shapley value, the only split that is efficient, symmetric and additive, is then
a/|S| + b_i. Static power is caused by whoever is there and is shared like `a`, by time.

Nobody can see a step from outside. But without speculative decoding each decoding request gains one token a step, so
tokens tell the steps (see `policy.steps`), and static watts, `a`, `b_prefill`, `b_decode` follow from regression on
windows of metered energy:

    joules = static x seconds + a x steps + b_prefill x prefill tokens + b_decode x decode tokens

by non-negative least squares, with old windows forgotten. Where the batch hardly varies, `a` and `b_decode` cannot be
told apart; then they need not be, because equal batches split both alike.
"""

from typing import Any

import numpy as np

from exporter.attribution.fit import NonNegativeFit
from exporter.attribution.policy import Presence, PriceList, Window, steps

_MEMORY_SECONDS = 1800.0
_LEAST_WINDOWS = 30
_LEAST_STEPS = 200.0
_LARGEST_ERROR = 0.15


class StepsPolicy:
    """Shapley shares of engine steps, with coefficients learned from windows of metered energy."""

    def __init__(self) -> None:
        self._fit = NonNegativeFit(("static", "step", "prefill_token", "decode_token"))
        self._steps = 0.0

    @property
    def coefficients(self) -> dict[str, float]:
        """Watts `static`; joules a `step`, a `prefill_token`, a `decode_token`. Empty until learned."""
        return self._fit.coefficients

    def prices(self, here: Presence) -> PriceList:
        """Presence costs its part of static power and steps; a token costs its own part."""
        learned = self._fit.coefficients
        busy = np.minimum(here.presence, here.slice_seconds)
        shared = learned["static"] * busy + learned["step"] * steps(here)
        per_second = np.divide(shared, here.presence, out=np.zeros_like(shared), where=here.presence > 1e-9)
        return PriceList(per_second, learned["prefill_token"], learned["decode_token"])

    def learn(self, window: Window) -> None:
        """Take in a window of metered energy."""
        self._steps += window.steps
        row = (window.seconds, window.steps, window.prefill_tokens, window.decode_tokens)
        self._fit.add(row, window.joules, keep=float(np.exp(-window.seconds / _MEMORY_SECONDS)))

    def doubt(self) -> str:
        """In doubt until enough windows explain the metered energy well."""
        if self._steps < _LEAST_STEPS:
            return "the request log has shown too few output tokens to tell engine steps"
        if self._fit.windows < _LEAST_WINDOWS:
            return f"{self._fit.windows} of {_LEAST_WINDOWS} windows learned"
        if self._fit.error > _LARGEST_ERROR:
            return f"the fit misses metered energy by {self._fit.error:.0%} (at most {_LARGEST_ERROR:.0%})"
        learned = self._fit.coefficients
        return "" if learned["step"] + learned["decode_token"] > 0.0 else "the fit finds no energy in decode steps"

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {"steps": self._steps, "fit": self._fit.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._steps = snapshot["steps"]
        self._fit.restore(snapshot["fit"])
