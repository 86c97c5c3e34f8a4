"""Learning windows: stretches of settled time from which a policy learns what steps and tokens cost."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from exporter.attribution.policy import Scene, Window, step_rate
from exporter.ledger.ledger import Group, Ledger
from exporter.ledger.slices import CONTEXT, DECODE, DECODING, PREFILL, PRESENCE

WINDOW_SECONDS = 5.0
"""Long enough that a request's uneven progress in it averages out, short enough that the batch varies between them."""
_GRAINS_A_WINDOW = 4.0
"""Or so many times as long as a slow sensor says nothing: what it blurs at a window's edges must not be most of it."""
Floats = NDArray[np.float64]
TokenRates = Callable[[int, int], Floats | None]
"""Tokens a second of each decoding request in slices [first, stop), where something else than its news tells them."""


class Windows:
    """Cuts one server's settled past into windows, each handed out once. `learned_until`: number of the next slice."""

    def __init__(self, ledger: Ledger, server: str, token_rates: TokenRates = lambda _first, _stop: None) -> None:
        self._ledger = ledger
        self._token_rates = token_rates
        self._places = list(ledger.serving(server))
        self.learned_until = max((group.slices.closed for group, _ in self._places), default=0)

    def until(self, instant: float) -> Iterator[Window]:
        """Windows that end before `instant`, where everything that ran is known, and nobody else was there."""
        if not self._places:
            return
        self.learned_until = max(self.learned_until, *(group.slices.closed for group, _ in self._places))
        width = self._width()
        count = (int(instant / self._ledger.slice_seconds) - self.learned_until) // width
        if count <= 0:
            return
        stop = self.learned_until + count * width
        yield from self._cut(self.learned_until, stop, width)
        self.learned_until = stop

    def _width(self) -> int:
        """Slices in a window."""
        grain = max(self._ledger.grain_seconds(group) for group, _ in self._places)
        return round(max(WINDOW_SECONDS, _GRAINS_A_WINDOW * grain) / self._ledger.slice_seconds)

    def _cut(self, first: int, stop: int, width: int) -> Iterator[Window]:
        group, lane = self._places[0]
        amounts = group.slices.amounts[:, lane, group.slices.place(range(first, stop))]
        here = scene(counted(amounts, self._token_rates(first, stop)), self._ledger.slice_seconds)
        strangers = sum((others(group, lane, first, stop) for group, lane in self._places), np.zeros(stop - first))
        joules = sum((_energy(group, first, stop) for group, _ in self._places), np.zeros(stop - first))
        rate = step_rate(here)
        columns = (
            here.busy_seconds(),
            rate * np.minimum(here.decoding, here.slice_seconds),
            here.prefill_tokens,
            here.decode_tokens,
            rate * here.context,
            joules,
            strangers,
        )
        table = np.stack([column.reshape(-1, width).sum(axis=1) for column in columns], axis=1)
        for busy, steps, prefill, decode, context, energy, company in table.tolist():
            if company == 0.0 and energy > 0.0:
                yield Window(
                    seconds=width * self._ledger.slice_seconds,
                    busy_seconds=busy,
                    steps=steps,
                    prefill_tokens=prefill,
                    decode_tokens=decode,
                    context_tokens=context,
                    joules=energy,
                )


def counted(amounts: Floats, rates: Floats | None) -> Floats:
    """The same amounts (quantities, slices) with decode tokens at these rates, of shape (slices,), where known."""
    if rates is None:
        return amounts
    told = amounts.copy()
    told[DECODE] = np.where(np.isnan(rates), amounts[DECODE], rates * amounts[DECODING])
    return told


def scene(amounts: Floats, slice_seconds: float) -> Scene:
    """One lane's amounts (quantities, slices), as policies see them."""
    return Scene(
        slice_seconds,
        presence=amounts[PRESENCE],
        decoding=amounts[DECODING],
        context=amounts[CONTEXT],
        prefill_tokens=amounts[PREFILL],
        decode_tokens=amounts[DECODE],
    )


def others(group: Group, lane: int, first: int, stop: int) -> Floats:
    """Presence of other servers, and of unknown company, in slices [first, stop): request-seconds, shape (slices,)."""
    run = group.slices.place(range(first, stop))
    presence = group.slices.amounts[PRESENCE, :, run]
    company: Floats = presence.sum(axis=0) - presence[lane] + group.slices.unknown(first, stop)
    return np.where(company > 1e-9, company, 0.0)


def _energy(group: Group, first: int, stop: int) -> Floats:
    run = group.slices.place(range(first, stop))
    joules: Floats = group.slices.energy[:, run].sum(axis=0)
    return joules
