"""Policy `steps`: the Shapley split of an engine step's energy.

Theory of operation. An engine step over the members S costs, to a few percent for dense models,

    v(S) = a + sum over members of b_i

where `a` is what any member alone would cause (reading the weights, static power while they are read) and `b_i` is each
member's own part: its prefill tokens, its decode token, the context that token attends to. The Shapley value, the only
split that is efficient, symmetric and additive, is then a/|S| + b_i.

Nobody can see a step from outside. But without speculative decoding each decoding request gains one token a step, so
tokens tell the rate of steps (see `policy.step_rate`), and the coefficients follow from regression on windows of
metered energy, by non-negative least squares with old windows forgotten:

    joules = idle x seconds without requests + a x steps
             + b_prefill x prefill tokens + b_decode x decode tokens + b_context x context tokens

Where the batch hardly varies, `a` and `b_decode` cannot be told apart; then they need not be, because equal batches
split both alike.
"""

from typing import Any

import numpy as np

from exporter.attribution.policy import PriceList, Scene, Window, step_rate
from exporter.regression import NonNegativeFit

_MEMORY_SECONDS = 1800.0
_LEAST_WINDOWS = 24
_LEAST_STEPS = 200.0
_LARGEST_ERROR = 0.15
_LEAST_JOULES = 1e-6
"""A step that costs less than this is rounding: the smallest models on the smallest chips need far more."""


class StepsPolicy:
    """Shapley shares of engine steps, with coefficients learned from windows of metered energy."""

    def __init__(self) -> None:
        self._fit = NonNegativeFit(("idle", "step", "prefill_token", "decode_token", "context_token"))
        self._steps = 0.0

    @property
    def coefficients(self) -> dict[str, float]:
        """Watts `idle`; joules a `step`, `prefill_token`, `decode_token`, `context_token`. Empty until learned."""
        return self._fit.coefficients

    def prices(self, here: Scene) -> PriceList:
        """Whoever decodes shares the steps and bears its own token and its context; a prefill token costs itself."""
        learned = self._fit.coefficients
        rate = step_rate(here)
        members = np.maximum(here.presence / here.slice_seconds, 1.0)
        return PriceList(
            presence=learned["step"] * rate / members,
            decoding=learned["decode_token"] * rate,
            context=learned["context_token"] * rate,
            prefill_token=learned["prefill_token"],
        )

    def learn(self, window: Window) -> None:
        """Take in a window of metered energy."""
        self._steps += window.steps
        causes = (window.steps, window.prefill_tokens, window.decode_tokens, window.context_tokens)
        keep = float(np.exp(-window.seconds / _MEMORY_SECONDS))
        self._fit.add((window.seconds - window.busy_seconds, *causes), window.joules, keep=keep)

    def doubt(self) -> str:
        """In doubt until enough windows explain the metered energy well."""
        if self._steps < _LEAST_STEPS:
            return "the request log has shown too few output tokens to tell engine steps"
        if self._fit.windows < _LEAST_WINDOWS:
            return f"{self._fit.windows} of {_LEAST_WINDOWS} windows learned"
        if self._fit.error > _LARGEST_ERROR:
            return f"the fit misses metered energy by {self._fit.error:.0%} (at most {_LARGEST_ERROR:.0%})"
        learned = self._fit.coefficients
        found = learned["step"] + learned["decode_token"] > _LEAST_JOULES
        return "" if found else "the fit finds no energy in decode steps"

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {"steps": self._steps, "fit": self._fit.snapshot()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._steps = snapshot["steps"]
        self._fit.restore(snapshot["fit"])
