"""Policy `time`: everyone present at a moment bears an equal share of it."""

import numpy as np

from exporter.attribution.policy import Presence, PriceList, Window


class TimePolicy:
    """Equal shares of time. Needs nothing but starts and ends."""

    def prices(self, here: Presence) -> PriceList:
        """A second of presence costs one; tokens cost nothing."""
        return PriceList(np.ones_like(here.presence), 0.0, 0.0)

    def learn(self, window: Window) -> None:
        """Nothing to learn."""

    def doubt(self) -> str:
        """Never in doubt."""
        return ""
