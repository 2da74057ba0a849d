"""What the data scripts share: how a labels.csv is written."""

import csv
from collections.abc import Iterable
from pathlib import Path


def write_labels(labels_csv: Path, columns: Iterable[str], rows: Iterable[tuple]) -> None:
    """Writes a labels.csv as `course_utils.read_labels` reads it: UTF-8, commas and quotes quoted.

    Args:
        labels_csv: the file; an older one is replaced.
        columns: of "file", "label", "side", "patient", "split", the first two at least.
        rows: one tuple a picture, in the order of the columns.
    """
    with open(labels_csv, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
