"""Claims: cutting off what lies before an instant."""

import pytest

from exporter.ledger.claims import Claims, Life


def test_tokens_shrink_with_the_time_that_is_cut_off() -> None:
    claims = Claims.of([Life(0.0, 2.0, 10.0, 100.0, 80.0, 500.0)]).within(4.0)
    assert (claims.start[0], claims.first_token[0], claims.end[0]) == (4.0, 4.0, 10.0)
    assert (claims.prefill_tokens[0], claims.decode_tokens[0]) == pytest.approx((0.0, 60.0))
    assert claims.context[0] == 500.0


def test_half_a_prefill_is_left_where_half_its_time_is() -> None:
    claims = Claims.of([Life(0.0, 2.0, 10.0, 100.0, 80.0)]).within(1.0)
    assert (claims.prefill_tokens[0], claims.decode_tokens[0]) == pytest.approx((50.0, 80.0))


def test_where_the_first_token_is_unknown_both_kinds_shrink_together() -> None:
    claims = Claims.of([Life(0.0, 0.0, 10.0, 100.0, 80.0)]).within(5.0)
    assert (claims.prefill_tokens[0], claims.decode_tokens[0]) == pytest.approx((50.0, 40.0))


def test_what_lies_wholly_before_is_nothing_at_that_instant() -> None:
    claims = Claims.of([Life(0.0, 1.0, 2.0, 10.0, 10.0), Life(6.0, 6.5, 7.0, 10.0, 10.0)]).within(5.0)
    assert claims.start.tolist() == [5.0, 6.0]
    assert claims.end.tolist() == [5.0, 7.0]
    assert claims.decode_tokens.tolist() == [0.0, 10.0]


def test_claims_after_the_instant_are_not_touched() -> None:
    claims = Claims.of([Life(6.0, 6.5, 7.0, 10.0, 10.0)])
    assert claims.within(5.0) is claims


def test_no_claims_are_no_trouble() -> None:
    assert len(Claims.of([]).within(5.0)) == 0
