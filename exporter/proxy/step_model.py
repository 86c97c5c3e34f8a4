"""Proxy `step_model`: an engine step is shared by those in it, and each bears its own tokens.

Theory. The attribution policy `steps` as a predictor: a step over n requests costs a part that any one of them would
cause alone, of which each bears 1/n, and each one's own part: its prefill tokens, its decode token, the context that
token attends to. See exporter/attribution/steps.py for why that split and no other. It needs more than time, the tokens
and who else was there, and is here to show how much of the energy that much can tell.

Where it fails. Steps are told from decode tokens; speculative decoding breaks that. Mixtures of experts touch more
experts in a fuller batch, so that the shared part drifts. Where the batch never varies, the shared part and the token's
own cannot be told apart: at that batch the prediction is right all the same, at another there is none.
"""

from exporter.proxy.proxy import Term

TERMS = (
    Term("step", "J/step", lambda seen: seen.step_shares),
    Term("prefill_token", "J/token", lambda seen: seen.prefill_tokens),
    Term("decode_token", "J/token", lambda seen: seen.decode_tokens),
    Term("context_token", "J/token^2", lambda seen: seen.context_tokens),
)
