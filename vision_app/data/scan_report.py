"""What is odd about the entries of a data set."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from vision_app.core.errors import DataError
from vision_app.core.files import atomic_write
from vision_app.core.text import brief

HARMLESS = {  # kinds of entries that leave the set what it says it is
    "box out of range", "duplicate box", "duplicate photo", "empty box", "image without annotation",
    "missing class name", "point out of range", "renamed photo", "shared labels", "trained photo", "unknown key",
    "unlabeled image",
}  # fmt: skip
MOST = 0.5  # part of the rows from which on a set cannot be trusted


@dataclass
class ScanReport:
    """What is odd about a set's entries.

    Attributes:
        entries: (kind, sentence) each, in their order.
        counted: How often something was understood although it is written unusually, and the first time, by kind.
        rows: Number of rows of annotations that belong to the set.
        refused: Number of those of them that cannot be used.
        reason: Why the first of these cannot.
    """

    entries: list[tuple[str, str]] = field(default_factory=list)
    counted: dict[str, tuple[int, str]] = field(default_factory=dict)
    rows: int = field(default=0, compare=False)
    refused: int = field(default=0, compare=False)
    reason: str = field(default="", compare=False)

    def add(self, kind: str, sentence: str) -> None:
        """Append an entry."""
        self.entries.append((kind, brief(sentence)))

    def count(self, kind: str, example: str) -> None:
        """Count what was understood although it is written unusually."""
        before, first = self.counted.get(kind, (0, brief(example)))
        self.counted[kind] = before + 1, first

    def refuse(self, kind: str, sentence: str) -> None:
        """Append an entry for a row of annotations that cannot be used."""
        self.rows, self.refused = self.rows + 1, self.refused + 1
        self.reason = self.reason or brief(f"{kind}: {sentence}")
        self.add(kind, sentence)

    def check_rows(self, source: str | Path) -> None:
        """Refuse a set of whose rows most cannot be used: it is of another format, and the rest cannot be trusted.

        Raises:
            DataError: Most cannot; names `source`.
        """
        if self.refused > MOST * self.rows:
            what = f"{self.refused:,} of {self.rows:,} rows of its annotations cannot be used"
            raise DataError(f"{source}: {what} ({self.reason})")

    def __add__(self, other: "ScanReport") -> "ScanReport":
        counted = dict(self.counted)
        for kind, (count, first) in other.counted.items():
            before, example = counted.get(kind, (0, first))
            counted[kind] = before + count, example
        rows, refused = self.rows + other.rows, self.refused + other.refused
        return ScanReport(self.entries + other.entries, counted, rows, refused, self.reason or other.reason)

    @property
    def all_entries(self) -> list[tuple[str, str]]:
        """The entries, and one for each kind that is only counted."""
        counts = [(kind, f"{count:,}, such as {first}") for kind, (count, first) in self.counted.items()]
        return self.entries + counts

    @property
    def problems(self) -> list[str]:
        """One line for each entry."""
        return [f"{kind}: {sentence}" for kind, sentence in self.all_entries]

    @property
    def faults(self) -> list[str]:
        """The lines of entries that cost the set an image with its ground truth, or a part of an image's."""
        return [f"{kind}: {sentence}" for kind, sentence in self.entries if kind not in HARMLESS]

    @property
    def kinds(self) -> Counter[str]:
        """How often there is each kind."""
        counts = {kind: count for kind, (count, _) in self.counted.items()}
        return Counter(kind for kind, _ in self.entries) + Counter(counts)

    @property
    def counts(self) -> list[str]:
        """One line for each kind, with how often there is one and the first."""
        first = dict(reversed(self.entries))
        counts = {kind: (count, first[kind]) for kind, count in Counter(kind for kind, _ in self.entries).items()}
        return [f"{kind}: {count:,}, such as {one}" for kind, (count, one) in (counts | self.counted).items()]

    def first(self) -> str:
        """Return the first line, or words for a set without entries."""
        return self.problems[0] if self.entries else "it lists none"

    def lines(self, shown: int) -> Iterator[str]:
        """Yield the first lines of each kind and how many more there are."""
        for kind, count in Counter(kind for kind, _ in self.entries).items():
            sentences = (sentence for other, sentence in self.entries if other == kind)
            yield from (f"{kind}: {sentence}" for sentence in islice(sentences, shown))
            if count > shown:
                yield f"{kind}: {count - shown:,} more"
        yield from self.problems[len(self.entries) :]


def write_reports(path: Path, reports: Mapping[str, ScanReport]) -> None:
    """Write the reports of some sets, by name, as a CSV file with the columns set, kind and entry."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("set", "kind", "entry"))
        writer.writerows((name, *entry) for name, report in reports.items() for entry in report.all_entries)


def read_reports(path: Path) -> dict[str, ScanReport]:
    """Read what `write_reports` wrote, but for empty reports; return none where there is no such file."""
    reports: dict[str, ScanReport] = {}
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for name, kind, sentence in list(csv.reader(file))[1:]:
                reports.setdefault(name, ScanReport()).add(kind, sentence)
    return reports
