"""Energy overview: how much power, for what, and what it amounts to."""

from grafana import colours
from grafana.board import INSTANCE, JOB, MODEL_CHOICE, SERVER_CHOICE, Board, Row, number
from grafana.panels import Column, Look, Placed, bars, stat, table, timeseries
from grafana.query import MODEL, SERVER, TARGET, Query, increase, mean, mean_over_range, rate, ratio, running, total

METERED = "llm_device_energy_joules_total"
BOOKED = "llm_energy_joules_total"
REQUEST_JOULES = "llm_request_energy_joules"
DEVICE = "instance, device"
OUTPUT = f'{MODEL}, direction="output"'

PRICE = number(
    "price", "Price of a kWh", "In whatever currency: the panel of the cost shows the same. 0.25 is an example.", "0.25"
)

METERED_WATT_HOURS = f"{increase(METERED)} / 3600"
SERVED = f'{TARGET}, share="requests"'


def _now() -> Row:
    return Row(
        "Now and over the chosen time",
        (
            stat(
                "Power now",
                "What all metered devices draw now. Devices belong to a machine, so this follows job and instance "
                "only.",
                Query(total("llm_device_power_watts")),
                look=Look("watt", 1),
                trend=True,
            ),
            stat(
                "Requests running",
                "Requests that ran at once, on average: seconds of settled requests a second.",
                Query(running()),
                look=Look("none", 1, steps=((None, "yellow"),)),
                trend=True,
            ),
            stat(
                "Energy metered",
                "What all metered devices used in the chosen time.",
                Query(METERED_WATT_HOURS),
                look=Look("watth", 1),
            ),
            stat(
                "Served requests",
                "The share of the metered energy that is booked to requests. The rest was idle, or is due to requests "
                "that are not known.",
                Query(ratio(increase(BOOKED, where=SERVED), increase(BOOKED))),
                look=Look("percentunit", 1, most=1.0, steps=((None, "red"), (0.3, "yellow"), (0.6, "green"))),
            ),
            stat(
                "J per request",
                "Mean over all requests that settled in the chosen time.",
                Query(mean_over_range(REQUEST_JOULES)),
                look=Look("joule", 1, steps=((None, "green"),)),
            ),
            stat(
                "J per output token",
                "Energy of requests over the tokens that they generated, prompts included in the energy. Empty "
                "where the log tells no tokens.",
                Query(
                    ratio(increase(f"{REQUEST_JOULES}_sum", where=MODEL), increase("llm_tokens_total", where=OUTPUT))
                ),
                look=Look("joule", 2, steps=((None, "green"),)),
            ),
        ),
    )


def _power() -> Row:
    return Row(
        "Where the power goes",
        (
            timeseries(
                "Power by share, under the requests that caused it",
                "Areas: energy as booked, to requests, to idle, or to requests that are not known; grey is not "
                "settled yet: idle stretches are, once news of a request cannot come any more. White line: as "
                "metered. Yellow line, right axis: requests running.",
                Query(rate(BOOKED, "share"), "{{share}}"),
                Query(f"clamp_min({rate(METERED)} - {rate(BOOKED)}, 0)", "not settled yet"),
                Query(rate(METERED), "metered"),
                Query(running(), "running"),
                look=Look("watt", colours=colours.SHARES),
                stacked=True,
                lines=("metered", "running"),
                right={"running": "none"},
                width=16,
                height=10,
            ),
            timeseries(
                "Power by device",
                "A line for each device: its power as metered. White: what devices draw on "
                "average with their model loaded and no request running, the floor under every curve.",
                Query(rate(METERED, DEVICE), "{{device}} {{instance}}"),
                Query(f"avg(llm_device_idle_power_watts{{{TARGET}}})", "idle, mean"),
                look=Look("watt", colours={"idle, mean": "text"}),
                width=8,
                height=10,
                legend=False,
            ),
        ),
    )


def _books() -> Row:
    joules = Look("joule", 1)
    shares = {share: f'sum by ({DEVICE}) ({BOOKED}{{{TARGET}, share="{share}"}})' for share in _SHARES}
    unsettled = total("llm_energy_unsettled_joules", DEVICE)
    metered = f"sum by ({DEVICE}) ({METERED}{{{TARGET}}})"
    off = f"abs({metered} - sum by ({DEVICE}) ({BOOKED}{{{TARGET}}}) - {unsettled})"
    return Row(
        "The books balance",
        (
            table(
                "Metered = requests + idle + unattributed + unsettled",
                "Every joule since the exporter's books began, device by device. Off by: metered less all the others, "
                "which is rounding and nothing else.",
                {"instance": "Exporter", "device": "Device"},
                Column("Metered", metered, joules),
                Column("= Requests", shares["requests"], joules),
                Column("+ Idle", shares["idle"], joules),
                Column("+ Unattributed", shares["unattributed"], joules),
                Column("+ Unsettled", unsettled, joules),
                Column("Off by", off, Look("joule", 1, steps=((None, "green"), (0.001, "red"))), painted=True),
                width=24,
                height=9,
                sort="Metered",
            ),
        ),
    )


_SHARES = ("requests", "idle", "unattributed")


def _prices() -> Row:
    by_model = f"topk(10, sum by (model) (increase({REQUEST_JOULES}_sum{{{MODEL}}}[$__range])))"
    by_tenant = f"topk(10, sum by (tenant) (increase(llm_tenant_energy_joules_total{{{SERVER}}}[$__range])))"
    return Row(
        "What a request and a token take, and whose they are",
        (
            timeseries(
                "Joules per request, by model",
                "Mean energy of the requests that settled. Under concurrent requests each has a share of the metered "
                "energy, by the attribution policy in force.",
                Query(mean(REQUEST_JOULES, "model"), "{{model}}"),
                look=Look("joule"),
                width=6,
            ),
            timeseries(
                "Joules per output token, by model",
                "Falls as more requests run at once: a step of the engine costs nearly the same however many it "
                "serves.",
                Query(
                    ratio(rate(f"{REQUEST_JOULES}_sum", "model", MODEL), rate("llm_tokens_total", "model", OUTPUT)),
                    "{{model}}",
                ),
                look=Look("joule"),
                width=6,
            ),
            bars(
                "Energy by model",
                "Energy of the requests that settled in the chosen time; the ten largest.",
                Query(by_model, "{{model}}"),
                look=Look("joule", 1),
                width=6,
            ),
            bars(
                "Energy by tenant",
                "Whom the energy is billed to; the ten largest. `unknown` named nobody. Empty where no tenant is "
                "configured or told.",
                Query(by_tenant, "{{tenant}}"),
                look=Look("joule", 1, nothing="no tenants"),
                width=6,
            ),
        ),
    )


def _meaning() -> Row:
    return Row(
        "What that amounts to, in the chosen time",
        (
            stat(
                "Cost at $price a kWh",
                "Metered energy times the price above, in the currency of that price. Devices only: no cooling, no "
                "building.",
                Query(f"{increase(METERED)} / 3.6e6 * $price"),
                look=Look("none", 3),
            ),
            stat(
                "Carbon, requests",
                "CO2 equivalent as the exporter is configured: energy of settled requests times the grid's intensity "
                "(carbon.intensity) and the building's PUE (carbon.pue). A model, not a measurement.",
                Query(increase("llm_carbon_dioxide_equivalent_grams_total", where=SERVER)),
                look=Look("massg", 1, nothing="not configured"),
            ),
            *_relatable(),
        ),
    )


def _relatable() -> tuple[Placed, ...]:
    kinds = (
        ("Phones charged", 12.0, "12 Wh a charge: method of the US EPA, of an older vintage."),
        ("LED bulb hours", 9.0, "9 W: a common LED bulb in place of a 60 W one."),
        (
            "Litres of water boiled",
            99.0,
            "99 Wh from 15 to 100 degrees Celsius: physics, no losses; a kettle takes 110 to 116.",
        ),
        ("Chatbot prompts", 0.24, "0.24 Wh: Google's median Gemini text prompt, host and building included (2025)."),
    )
    return tuple(
        stat(
            title,
            f"Metered energy in the chosen time over {basis} To get a feeling, not to account.",
            Query(f"{METERED_WATT_HOURS} / {watt_hours:g}"),
            look=Look("short", 1, steps=((None, "purple"),)),
        )
        for title, watt_hours, basis in kinds
    )


def _components() -> Row:
    """Measured beforehand, so for now and not over time."""
    kept = "model, phase, component, method"
    gross = f'{TARGET}, stat="gross_mean"'
    parts = 'component!~"model|block"'
    return Row(
        "Components of models, as measured beforehand",
        (
            table(
                "Energy of one run, by component",
                "From result files of `llm-energy-exporter components`: mean over modules and cases of the component. "
                "Method says whether it was measured or only estimated.",
                {"model": "Model", "phase": "Phase", "component": "Component", "method": "Method"},
                Column("J gross", f"avg by ({kept}) (llm_component_energy_joules{{{gross}}})", Look("joule")),
                Column("J / FLOP", f"avg by ({kept}) (llm_component_energy_per_flop_joules{{{gross}}})", Look("joule")),
                Column(
                    "CV",
                    f'max by ({kept}) (llm_component_cv_ratio{{{TARGET}, stat="gross"}})',
                    Look("percentunit", 1, steps=((None, "green"), (0.095, "red"))),
                    painted=True,
                ),
                width=16,
                sort="J gross",
                nothing="no result files (components.results)",
            ),
            bars(
                "Joules per FLOP",
                "Mean over models, cases and modules; gross.",
                Query(
                    f"avg by (component) (llm_component_energy_per_flop_joules{{{gross}, {parts}}})", "{{component}}"
                ),
                look=Look("joule", nothing="no result files"),
            ),
        ),
    )


BOARD = Board(
    "overview",
    "LLM energy / Overview",
    "What LLM serving draws, which share of it served requests, and what a request and a token take.",
    (JOB, INSTANCE, SERVER_CHOICE, MODEL_CHOICE, PRICE),
    (_now(), _power(), _books(), _prices(), _meaning(), _components()),
    TARGET,
)
