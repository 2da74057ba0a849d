"""Runs a command in bad company, to see whether it is steady: `python -m tests.company python -m tests`.

Beside it two loops are busy, and a process imports TensorFlow and ends, over and over. The loops take the
cores; whenever that process comes, other processes' shares of TensorFlow's libraries shrink, and grow when it
goes.
"""

import subprocess
import sys
import threading

LOOP = "while True: pass"
STRANGER = "import tensorflow as tf; tf.zeros(1)"


def main(command: list[str]) -> int:
    """Runs the command, ends the company, and returns the command's exit code."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(2)]
    over, came = threading.Event(), []

    def strangers():
        while not over.is_set():
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            came.append(subprocess.run([sys.executable, "-c", STRANGER], **quiet).returncode)

    stranger = threading.Thread(target=strangers)
    stranger.start()
    try:
        return subprocess.run(command).returncode
    finally:
        over.set()
        for loop in loops:
            loop.kill()
        stranger.join()
        print(f"In company: two busy loops, and {came.count(0)} of {len(came)} processes with TensorFlow.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
