"""Proxy `tokens`: so many joules a prompt token and so many an output token.

Theory. What calculators of cloud models use, because tokens are on the bill. Every token passes through the same
weights once.

Where it fails. The weights are read once a step for everyone in the batch, so a token costs less the more requests are
there: on one H100 an 8B model's output token costs 0.455 J at a batch of 8 and 0.077 J at 256 (ML.ENERGY v3). Prompt
tokens that come from a cache cost nothing.
"""

from exporter.proxy.proxy import Term

TERMS = (
    Term("prompt_token", "J/token", lambda seen: seen.prompt_tokens),
    Term("output_token", "J/token", lambda seen: seen.output_tokens),
)
