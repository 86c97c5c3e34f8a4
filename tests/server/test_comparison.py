import re
from dataclasses import replace
from html import unescape

import pytest

from exporter.domain.snapshot import CoefficientView, ProxyView, SettledRequest, Snapshot
from exporter.domain.units import Joules
from exporter.proxy.proxies import UNITS
from exporter.server.comparison import comparison
from tests.metrics.examples import proxy_view, published, score_view, settled

# As one types them.
_TYPED = str.maketrans(
    {"\N{MULTIPLICATION SIGN}": "x", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{NARROW NO-BREAK SPACE}": " "}
)
ALONE = replace(settled("alone"), metered_joules=Joules(90.0))


def section(*views: ProxyView, recent: tuple[SettledRequest, ...] = (ALONE, settled())) -> str:
    snapshot: Snapshot = replace(published().snapshot, proxies=views, recent=recent)
    return comparison(snapshot)


def words(html: str) -> str:
    plain = unescape(re.sub(r"<[^>]+>", " ", html))
    return " ".join(plain.translate(_TYPED).split())


def row(html: str, proxy: str) -> str:
    [found] = re.findall(rf"<tr><td><b>{proxy}</b></td>.*?</tr>", html)
    return words(found)


def dots(html: str, css_class: str) -> int:
    return sum(path.count("M") for path in re.findall(rf'<path class="{css_class}" d="([^"]*)"', html))


def test_each_proxy_has_a_picture_with_its_recipe_and_what_it_learned() -> None:
    said = words(section(proxy_view("time"), proxy_view("step_model")))
    assert "time k x duration" in said
    assert f"second 46.2 ± 0.8 {UNITS['time']['second']}" in said
    step, token = UNITS["step_model"]["step"], UNITS["step_model"]["decode_token"]
    assert f"decode token 0.0665 ± 0.001 {token} · step 3.16 ± 0.02 {step}" in said


def test_an_error_that_is_not_known_or_not_learned_is_not_shown() -> None:
    terms = {"second": CoefficientView(44.0, float("inf")), "request": CoefficientView(3.0, 0.0)}
    units = UNITS["affine_time"]
    assert f"request 3 {units['request']} · second 44 {units['second']}" in words(
        section(replace(proxy_view("affine_time"), coefficients=terms))
    )


def test_requests_that_ran_alone_are_drawn_apart_from_shares() -> None:
    html = section(proxy_view("time"))
    assert (dots(html, "alone"), dots(html, "share")) == (1, 1)


def test_only_predicted_requests_of_this_model_are_drawn() -> None:
    recent = (settled(), replace(settled(), model="other"), replace(settled(), server="other"))
    unpredicted = replace(settled(), predicted={})
    assert dots(section(proxy_view("time"), recent=(*recent, unpredicted)), "share") == 1
    assert dots(section(proxy_view("peak"), recent=recent), "share") == 0


def test_a_prediction_is_not_held_against_itself() -> None:
    html = section(proxy_view(), recent=(replace(settled(), method="time_proxy"),))
    assert "No recent request has both" in html
    assert "<svg" not in html


def test_a_prediction_that_is_no_number_is_not_drawn() -> None:
    html = section(proxy_view(), recent=(settled(), replace(settled(), predicted={"time": Joules(float("nan"))})))
    assert "nan" not in html.lower()
    assert dots(html, "share") == 1


def test_predictions_beyond_the_frame_are_counted() -> None:
    wild = replace(settled(), predicted={"time": Joules(1e7)})
    assert "1 beyond the frame" in words(section(proxy_view(), recent=(wild,)))
    assert "beyond" not in words(section(proxy_view()))


def test_a_row_shows_error_bias_fit_and_samples_of_each_ground() -> None:
    view = proxy_view(isolated=score_view(61, mape=0.21, bias=0.03, r2=0.93))
    assert row(section(view), "time") == "time 21 % +3 % 0.93 61 31 % -4 % 0.62 2 31 % -4 % 0.62 5"


def test_a_ground_without_samples_is_a_dash_and_no_zero() -> None:
    assert row(section(proxy_view()), "time").startswith("time - - - 0 31 %")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_a_dash(value: float) -> None:
    assert row(section(proxy_view(isolated=score_view(1, r2=value))), "time").startswith("time 31 % -4 % - 1")


def test_the_least_error_stands_out_on_metered_grounds_only() -> None:
    good, bad = score_view(3, mape=0.1), score_view(3, mape=0.2)
    html = section(proxy_view("time", window=bad, request=good), proxy_view("peak", window=good, request=bad))
    strong = re.findall(r'<td class="number (metered|ruled) first"><strong>', html)
    assert strong == ["metered"]


def test_shares_are_grey_and_it_is_said_why() -> None:
    html = section(proxy_view())
    assert html.count('<td class="number ruled') == 4
    assert "shares are grey because they prove little" in words(html)


def test_drift_is_marked_and_says_how_far() -> None:
    html = section(proxy_view(window=replace(score_view(), drift=4.25, drifting=True)))
    assert 'title="+4.2 standard deviations off its own history"' in html
    assert "▲ recent errors have left their own history" in words(html)
    assert "▲" not in section(proxy_view())


def test_of_many_models_those_with_most_samples_are_shown_and_the_rest_is_counted() -> None:
    views = [proxy_view(model=f"m{n}", request=score_view(n)) for n in range(9)]
    said = words(section(*views))
    assert re.findall(r"m\d(?= on)", said) == ["m8", "m7", "m6", "m5", "m4", "m3"]
    assert "3 more with fewer samples: as JSON" in said
