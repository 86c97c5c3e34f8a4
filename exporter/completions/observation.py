"""What a client knows of one answer."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """One request as its client saw it.

    Attributes:
        time_to_first_token_seconds: from sending it. seconds: from sending it to its last token.
        prompt_tokens, output_tokens: None where nobody said.
    """

    time_to_first_token_seconds: float
    seconds: float
    prompt_tokens: int | None = None
    output_tokens: int | None = None

    def line(self) -> str:
        """As a line of a file, without what is not known."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None}) + "\n"
