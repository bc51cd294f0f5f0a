"""Build the package with the released models inside: models/ of the checkout is vision_app/_models of the wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["vision_app", "vision_app.*"]), "vision_app._models"],
    package_dir={"vision_app._models": "models"},
    package_data={
        "vision_app._models": ["*/model.json", "*/weights.safetensors", "*/model.onnx", "*/CARD.md", "*/LICENSE"],
        "vision_app": ["py.typed"],
        "vision_app.style.samples": ["*.webp", "README.md"],
        "vision_app.ui": ["*.png", "samples/*", "widgets/*.css", "widgets/*.html", "widgets/*.js"],
    },
)
