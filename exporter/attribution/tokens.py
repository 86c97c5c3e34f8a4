"""Policy `tokens`: everyone bears a share by the tokens processed for them."""

from exporter.attribution.policy import PriceList, Scene, Window


class TokensPolicy:
    """Shares by tokens, a prompt token and an output token alike.

    Where nobody's tokens are known the ledger falls back to presence by itself.
    """

    def __init__(self) -> None:
        self._seen = 0.0

    def prices(self, here: Scene) -> PriceList:  # noqa: ARG002 - the ledger counts the tokens
        """A token costs one; presence costs nothing."""
        return PriceList(prefill_token=1.0, decode_token=1.0)

    def learn(self, window: Window) -> None:
        """Note whether tokens are known at all."""
        self._seen += window.prefill_tokens + window.decode_tokens

    def doubt(self) -> str:
        """In doubt while the log has not shown a token."""
        return "" if self._seen > 0.0 else "the request log has shown no token counts yet"
