"""What attackers, strange files and impatient users can do: every attack that we know, and how many of them held.

    python benchmarks/attack.py                # all of them, in about ten minutes
    python benchmarks/attack.py gallery page   # only those of some files of benchmarks/attacks/

The table is that of docs/security.md. What did not hold goes to standard error, and the exit code is 1.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import getmembers, isgeneratorfunction
from pathlib import Path
from pkgutil import iter_modules

import attacks
from attacks import Trial

Attack = Callable[[Path], Iterator[Trial]]
AREAS = [module.name for module in iter_modules(attacks.__path__)]


def attacks_of(area: str) -> list[Attack]:
    """Return the attacks of a file, in its order."""
    module = import_module(f"attacks.{area}")
    found = [each for name, each in getmembers(module, isgeneratorfunction) if not name.startswith("_")]
    return sorted(found, key=lambda attack: attack.__code__.co_firstlineno)


def title(attack: Attack) -> str:
    """Return what an attack is called in the table."""
    return (attack.__doc__ or attack.__name__).splitlines()[0].removesuffix(".")


def run(attack: Attack) -> list[Trial]:
    """Run an attack in a folder of its own."""
    trials = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for trial in attack(Path(folder)):
                trials.append(trial)  # noqa: PERF402  # those before an error count
        except Exception as error:
            trials.append(Trial(f"after {len(trials)} trials: {type(error).__name__}: {error}", False))
    return trials


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=", ".join(AREAS))
    areas, failed = parser.parse_args().areas or AREAS, []
    if unknown := next((area for area in areas if area not in AREAS), None):
        parser.error(f"{unknown}: no such area; choose from {', '.join(AREAS)}")
    print("| attack | tried | held |\n|---|---:|---:|")
    for area in areas:
        for attack in attacks_of(area):
            trials = run(attack)
            held = sum(trial.held for trial in trials)
            print(f"| {title(attack)} | {len(trials):,} | {held:,} |", flush=True)
            failed += [f"{title(attack)}: {trial.name}" for trial in trials if not trial.held]
    for each in failed:
        print(each, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
