"""The documents of the repository are finished, and what they point at is there."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
DOCUMENTS = [CHECKOUT / name for name in ("README.md", "benchmarks/README.md", "models/README.md")]
DOCUMENTS += sorted([*CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("models/*/CARD.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_document_is_finished_and_its_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"@\w+@", text) == []
    links = re.findall(r"\]\(([^)#\s]+)", text)  # [text](target) and ![text](target), without the #heading
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []
