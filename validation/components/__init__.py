"""(e) Where inside a model the energy goes, and whether CLEAR's three claims hold on this GPU.

stage        runs the measuring in a process of its own, whose CUDA context ends with it
measuring    the process: one case after the other by the machinery of the `components` command, while there is time
orders       which models in which order, and how long each part may take                       (pure)
findings     claims as checks, results as rows                                                  (pure)
"""

from validation.components.stage import ComponentsStage
from validation.options import Options


def stage(options: Options) -> ComponentsStage:
    """The stage."""
    return ComponentsStage(options)
