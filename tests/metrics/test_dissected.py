from dataclasses import replace

import pytest

from exporter.domain.dissection import Case, Dissection, Trials
from exporter.domain.health import DissectionsView, Published
from exporter.metrics.dissected import case_labels, that_fit
from tests.dissections.examples import CPU, component, dissection
from tests.metrics.examples import health, nothing_yet
from tests.metrics.test_exposition import all_samples, names, sample


def page(*dissections: Dissection, left_out: int = 0) -> Published:
    view = DissectionsView(dissections, left_out, files=1)
    return Published(nothing_yet().snapshot, replace(health(), dissections=view))


def test_without_result_files_there_is_no_word_of_components() -> None:
    bare = Published(nothing_yet().snapshot, replace(health(), dissections=None))
    assert not {name for name in names(bare) if "component" in name}


def test_a_component_has_its_energy_gross_and_net() -> None:
    energies = {
        stat: sample(page(dissection()), "llm_component_energy_joules", component="attention", stat=stat)
        for stat in ("gross_mean", "gross_stddev", "net_mean", "net_stddev")
    }
    assert energies == pytest.approx({"gross_mean": 3.0, "gross_stddev": 0.06, "net_mean": 2.25, "net_stddev": 0.045})
    assert sample(page(dissection()), "llm_component_cv_ratio", component="attention", stat="gross") == pytest.approx(
        0.02
    )


def test_net_energy_below_zero_is_shown_as_it_is() -> None:
    below = replace(component("norm", 1.0), net_joules=Trials((-0.5, -0.3)))
    shown = page(replace(dissection(), components=(below,)))
    assert sample(shown, "llm_component_energy_joules", stat="net_mean") == pytest.approx(-0.4)
    assert [s for s in all_samples(shown) if s.name == "llm_component_cv_ratio" and s.labels["stat"] == "net"] == []


def test_what_is_not_known_is_absent() -> None:
    shown = [s.name for s in all_samples(page(dissection())) if s.labels.get("component") == "norm"]
    assert "llm_component_energy_joules" in shown
    assert not {"llm_component_flops", "llm_component_energy_per_flop_joules"} & set(shown)


def test_a_single_trial_has_no_spread() -> None:
    once = replace(component("mlp", 1.0), gross_joules=Trials((1.0,)), net_joules=Trials((0.5,)))
    stats = {s.labels.get("stat") for s in all_samples(page(replace(dissection(), components=(once,))))}
    assert "gross_mean" in stats
    assert not {"gross_stddev", "net_stddev"} & stats


def test_joules_per_flop_and_flops_are_of_one_run() -> None:
    shown = page(dissection(flops=2_000_000))
    assert sample(shown, "llm_component_flops", component="attention") == 2_000_000
    per_flop = sample(shown, "llm_component_energy_per_flop_joules", component="attention", stat="gross_mean")
    assert per_flop == pytest.approx(3.0 / 2e6)


def test_capture_says_of_which_whole() -> None:
    shown = page(dissection())
    assert sample(shown, "llm_component_capture_ratio", component="block", stat="gross") == pytest.approx(7.5 / 8.0)
    assert sample(shown, "llm_component_capture_ratio", component="model", stat="net") == pytest.approx(34.1 / 35.7)


def test_an_estimate_is_called_one() -> None:
    methods = {
        s.labels["method"]
        for s in all_samples(page(dissection(device=CPU)))
        if s.name.startswith("llm_component_") and "files" not in s.name
    }
    assert methods == {"estimated"}


@pytest.mark.parametrize(
    "other",
    [
        dissection(case=Case("decode")),
        dissection(case=Case(batch=8)),
        dissection(case=Case(sequence=8)),
        dissection(case=Case(dtype="bfloat16")),
        dissection(shape={"hidden_size": 64, "heads": 12}),
        dissection(shape={"hidden_size": 768, "heads": 4}),
        dissection(device=CPU),
        dissection("another"),
    ],
)
def test_cases_are_kept_apart(other: Dissection) -> None:
    assert len(that_fit([dissection(), other])[0]) == 2
    series = [(s.name, tuple(s.labels.items())) for s in all_samples(page(dissection(), other))]
    assert len(series) == len(set(series)), "Prometheus takes no page that says something twice"


def test_of_two_results_of_one_case_the_later_is_shown() -> None:
    early, late = dissection(began=1.0, attention=3.0), dissection(began=2.0, attention=5.0)
    assert that_fit([late, early]) == ((late,), 0)


def test_the_latest_are_shown_where_there_is_no_room_for_all() -> None:
    those = [dissection(f"model-{number}", began=float(number)) for number in range(10)]
    rows = len(those[0].components)
    shown, left_out = that_fit(those, most=3 * rows + 1)
    assert [one.model for one in shown] == ["model-7", "model-8", "model-9"]
    assert left_out == 7
    assert sample(page(*shown, left_out=left_out), "llm_energy_exporter_component_cases_left_out") == 7


def test_fifteen_models_in_two_phases_find_room() -> None:
    those = [dissection(f"model-{n}", case) for n in range(15) for case in (Case("prefill"), Case("decode"))]
    assert that_fit(those) == (tuple(sorted(those, key=case_labels)), 0)


def test_what_a_shape_does_not_say_is_empty() -> None:
    assert case_labels(dissection(shape={"layers": 2}))[5:7] == ("", "")


def test_components_of_one_name_and_module_do_not_break_the_page() -> None:
    twice = (component("norm", 1.0), component("norm", 2.0))
    assert (
        sample(page(replace(dissection(), components=twice)), "llm_component_energy_joules", stat="gross_mean") == 2.0
    )
