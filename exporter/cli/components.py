"""`components`: where inside a model the energy goes."""

from exporter.cli.command import Action, with_actions


def _actions() -> tuple[Action, ...]:
    from exporter.components.actions import claims, listing, measure, plot, study  # noqa: PLC0415 - only here

    return (
        ("list", "list the models that are ready by name", listing),
        ("measure", "measure models component by component; what takes several values is swept", measure),
        ("study", "measure all fifteen models, hold the paper's claims against them and write a report", study),
        ("plot", "draw results", plot),
        ("claims", "hold the paper's three claims against results", claims),
    )


COMMAND = with_actions("components", "measure where inside a model the energy goes (CLEAR)", _actions)
