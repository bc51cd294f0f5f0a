"""The script that counts which attacks held."""

import sys

import attack
from attacks import Trial


def held_and_broken(folder):
    """What is tried here."""
    yield Trial("first", True)
    yield Trial("second", False)
    raise ValueError("the program broke")


def test_what_an_attack_raises_counts_as_not_held():
    assert attack.run(held_and_broken) == [
        Trial("first", True),
        Trial("second", False),
        Trial("after 2 trials: ValueError: the program broke", False),
    ]


def test_the_table_counts_trials_and_what_did_not_hold_is_named(monkeypatch, capsys):
    monkeypatch.setattr(attack, "attacks_of", lambda area: [held_and_broken])
    monkeypatch.setattr(sys, "argv", ["attack.py", "gallery"])
    assert attack.main() == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[2].startswith("| What is tried here | 3 | 1 |")
    assert printed.err.splitlines()[0] == "What is tried here: second"


def test_every_attack_says_what_it_tries():
    attacks = [each for area in attack.AREAS for each in attack.attacks_of(area)]
    assert [each.__name__ for each in attacks if not each.__doc__] == []
    assert "embeddings_of_another_length" in [each.__name__ for each in attacks]
