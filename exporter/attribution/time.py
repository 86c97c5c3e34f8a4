"""Policy `time`: everyone present at a moment bears an equal share of it."""

from exporter.attribution.policy import PriceList, Scene, Window


class TimePolicy:
    """Equal shares of time. Needs nothing but starts and ends."""

    def prices(self, here: Scene) -> PriceList:  # noqa: ARG002 - time asks nothing of the scene
        """A second of presence costs one; tokens cost nothing."""
        return PriceList(presence=1.0)

    def learn(self, window: Window) -> None:
        """Nothing to learn."""

    def doubt(self) -> str:
        """Never in doubt."""
        return ""
