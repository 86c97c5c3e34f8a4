"""What a request that has just ended may have used, said before it settles: for those who answer it and cannot wait.

It is a prediction, by the proxy that did best by metered time, and nothing is booked, scored or learned by it. How many
others were there is not known slice by slice yet: it is taken to have been as many as run now.
"""

from collections.abc import Mapping
from math import isfinite, nan
from typing import NamedTuple

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.pipeline.student import Student
from exporter.proxy.calibration.estimator import Estimator
from exporter.proxy.proxy import Features


class Ended(NamedTuple):
    """A request that has just ended; None where it is not known."""

    model: str | None
    seconds: float
    prompt_tokens: int | None = None
    output_tokens: int | None = None


class Foretold(NamedTuple):
    """What it may have used, and which proxy says so."""

    joules: float
    proxy: ProxyName


def foretell(
    ended: Ended, running: int, students: Mapping[str, Student], estimator: Estimator | None
) -> Foretold | None:
    """Predict a request's energy.

    Args:
        ended: the request.
        running: how many run now on its server, itself included.
        students: what has been learned on its server, by model.
        estimator: a calibration, where nothing is metered.

    Returns:
        None where nothing has been learned that suits it.
    """
    seen = _seen(ended, max(running, 1))
    if estimator is not None:
        estimates = estimator.estimate(seen)
        return _said(float(estimates.joules[0]), estimates.proxy[0])
    student = _student(ended.model, students)
    best = student.scorer.best() if student is not None else None
    if student is None or best is None:
        return None
    return _said(float(student.scorer.predict(best, seen)[0]), best)


def _said(joules: float, proxy: ProxyName | None) -> Foretold | None:
    return Foretold(joules, proxy) if proxy is not None and isfinite(joules) else None


def _student(model: str | None, students: Mapping[str, Student]) -> Student | None:
    """The model's, or the only one there is: a log may name a model otherwise than a client does."""
    only = next(iter(students.values())) if len(students) == 1 else None
    return students.get(model or "", only)


def _seen(ended: Ended, running: int) -> Features:
    prompt, output = (nan if one is None else float(one) for one in (ended.prompt_tokens, ended.output_tokens))
    decode = max(output - 1.0, 0.0) if isfinite(output) else nan
    one_row = (
        1.0,
        ended.seconds,
        ended.seconds,
        ended.seconds / running,
        prompt,
        output,
        prompt,
        decode,
        decode / running,
        decode * (prompt + 0.5 * output),
    )
    return Features(*(np.array([value]) for value in one_row))
