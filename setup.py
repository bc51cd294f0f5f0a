"""Build the package with the released models inside: models/ of the checkout is vision_app/_models of the wheel."""

import json
from pathlib import Path

from setuptools import find_packages, setup

MODELS = {path.parent.name: json.loads(path.read_text("utf-8")) for path in Path("models").glob("*/model.json")}

setup(
    packages=[*find_packages(include=["vision_app", "vision_app.*"]), "vision_app._models"],
    package_dir={"vision_app._models": "models"},
    package_data={
        "vision_app._models": [
            f"{name}/{file}"
            for name, info in MODELS.items()
            for file in ("model.json", "CARD.md", "LICENSE", *info["files"])
        ],
        "vision_app": ["py.typed"],
        "vision_app.style.samples": ["*.webp", "README.md"],
        "vision_app.ui": ["*.png", "samples/*", "widgets/*.css", "widgets/*.html", "widgets/*.js"],
    },
)
