"""What a `fit` takes at its peak: predicted by arithmetic, weighed and rehearsed in child processes.

`weigh_model` trains a model for a moment, once. From then on `predict` answers for any batch size, dtype,
workers and queue, at once. `rehearse` trains on the first batches of the real Sequence, its queue filled.

All figures are bytes of main memory that the kernel cannot take back (see `memory`), of the process that
trains and of its worker processes. What a GPU holds is not among them.
"""

from .arithmetic import (
    BINDER,
    Forecast,
    ModelCost,
    Verdict,
    batches_alive,
    predict,
)
from .children import Rehearsal, TrainingFailed, rehearse, weigh_model
from .settings import Settings, array_bytes, settings_of

__all__ = [
    "BINDER",
    "Forecast",
    "ModelCost",
    "Rehearsal",
    "Settings",
    "TrainingFailed",
    "Verdict",
    "array_bytes",
    "batches_alive",
    "predict",
    "rehearse",
    "settings_of",
    "weigh_model",
]
