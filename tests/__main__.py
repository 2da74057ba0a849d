"""The whole suite in two parts: `python -m tests`. What you add (`-x`, `--durations=20`) goes to both.

What does not measure runs on two workers, a file at a time; what measures memory or time runs alone
afterwards, since a neighbour would be measured too. `pytest` by itself runs the same tests in one go.
"""

import subprocess
import sys

# In the order of collection, which begins with the longest file: no worker is left with it at the end.
TWO_WORKERS = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
PARTS = {
    "What does not measure, on two workers": ("-m", "not measured", *TWO_WORKERS),
    "What measures, alone": ("-m", "measured"),
}


def main(more: list[str]) -> int:
    """Runs both parts, whatever becomes of the first; returns the first exit code that is not 0, if any."""
    codes = []
    for title, part in PARTS.items():
        print(f"\n{title}: pytest {' '.join([*part, *more])}", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", "pytest", *part, *more]).returncode)
    return next(filter(None, codes), 0)  # not the largest: that of a killed one is negative


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
