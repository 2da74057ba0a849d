"""The check-up: any Sequence examined without training, and each fault said with its reason and its cure.

check                   the function to call              (what it returns is in `report`)
rules                   of the class, of batches, of randomness and order, of arguments and model
probe, apart            takes batches, in a forked child or a thread that time ends
batches, reach          what is kept of a batch; what a Sequence holds, at any depth
faults                  the list of faults: reason and cure
"""

from .examine import check
from .faults import FAULTS, Fault
from .report import Finding, Report

__all__ = ["FAULTS", "Fault", "Finding", "Report", "check"]
