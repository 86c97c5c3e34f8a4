"""(a) What the sensors of this board are: steps, windows, lags, idle watts, costs of asking.

stage        runs the rest in a process of its own, whose CUDA context ends with it
sensors      what a board can be asked; polling: asking again and again; load: what keeps the board busy
probing      the experiments, one after the other
steps        when a value changes                                                              (pure)
window       over how long a reading is a mean, from the answer to a square wave               (pure)
energy       counter against integral                                                          (pure)
views        all of it by sensor; findings, checks, tables: in the words of the results        (pure)
plot         one figure
"""

from validation.options import Options
from validation.sensor.stage import SensorStage


def stage(options: Options) -> SensorStage:
    """The stage."""
    return SensorStage(options)
