"""What an HTTP client would rather have: its `Accept` and `Accept-Encoding` headers."""

from collections.abc import Mapping


def qualities(header: str) -> Mapping[str, float]:
    """Read `text/html, application/json;q=0.5` as names in lower case with weights 0 to 1; nonsense weighs 0."""
    found: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name:
            found[name] = max(found.get(name, 0.0), _quality(parameters))
    return found


def _quality(parameters: list[str]) -> float:
    weights = [text.removeprefix("q=") for text in parameters if text.startswith("q=")]
    try:
        return float(weights[0]) if weights else 1.0
    except ValueError:
        return 0.0
