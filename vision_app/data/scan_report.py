"""What is odd about the entries of a data set."""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vision_app.core.files import atomic_write

HARMLESS = {  # kinds of entries that leave the set what it says it is
    "annotation without image", "box out of range", "duplicate box", "duplicate photo", "empty box",
    "image without annotation", "point out of range", "trained photo", "unknown key", "unlabeled image",
}  # fmt: skip


@dataclass
class ScanReport:
    """What is odd about a set's entries, in their order: (kind, sentence) each."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, sentence: str) -> None:
        """Append an entry."""
        self.entries.append((kind, sentence))

    @property
    def problems(self) -> list[str]:
        """One line for each entry."""
        return [f"{kind}: {sentence}" for kind, sentence in self.entries]

    @property
    def faults(self) -> list[str]:
        """The lines of entries that cost the set an image with its ground truth, or a part of an image's."""
        return [f"{kind}: {sentence}" for kind, sentence in self.entries if kind not in HARMLESS]

    @property
    def kinds(self) -> Counter[str]:
        """How many entries there are of each kind."""
        return Counter(kind for kind, _ in self.entries)

    def first(self) -> str:
        """Return the first line, or words for a set without entries."""
        return self.problems[0] if self.entries else "it lists none"


def write_reports(path: Path, reports: Mapping[str, ScanReport]) -> None:
    """Write the reports of some sets, by name, as a CSV file with the columns set, kind and entry."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("set", "kind", "entry"))
        writer.writerows((name, *entry) for name, report in reports.items() for entry in report.entries)


def read_reports(path: Path) -> dict[str, ScanReport]:
    """Read what `write_reports` wrote, but for empty reports; return none where there is no such file."""
    reports: dict[str, ScanReport] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for name, kind, sentence in list(csv.reader(file))[1:]:
                reports.setdefault(name, ScanReport()).add(kind, sentence)
    return reports
