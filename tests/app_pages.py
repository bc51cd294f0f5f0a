"""Pages of the web app without a browser, as a visitor's session sees them."""

from pathlib import Path

from image_files import encode
from painted_people import paint
from PIL import Image
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[1] / "vision_app" / "ui" / "app.py"
ADA, BOB, EVE = 1, 2, 3


def photo_of(*people: tuple[int, int]) -> bytes:
    """A file that shows painted people, each a number and the number of a photo."""
    return encode(Image.fromarray(paint(*people)), "PNG")


def visit_app() -> AppTest:
    """The whole app, just opened: it shows the Detect page."""
    return run(AppTest.from_file(APP, default_timeout=60))


def visit(name: str) -> AppTest:
    """The page called `name`, just opened."""
    return run(AppTest.from_string(f"from vision_app.ui import {name}; {name}.page()", default_timeout=60))


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def labeled(widgets, label: str):
    """The widget with this label."""
    (found,) = [one for one in widgets if one.label == label]
    return found


def press(page: AppTest, label: str) -> AppTest:
    """Press the button with this label."""
    labeled(page.button, label).click()
    return run(page)


def upload(page: AppTest, label: str, files: dict[str, bytes]) -> AppTest:
    """Add files to the uploader with this label."""
    contents = [(name, content, "image/png") for name, content in files.items()]
    box = labeled(page.file_uploader, label)
    box.set_value(contents if box.accept_multiple_files else contents[0])
    return page


def snap(page: AppTest, content: bytes) -> AppTest:
    """Take a photo with the camera."""
    page.camera_input[0].set_value(("shot.jpg", content, "image/jpeg"))
    return page


def said(page: AppTest) -> list[str]:
    """The texts in colored boxes."""
    return [box.value for kind in (page.success, page.warning, page.error, page.info) for box in kind]


def words(page: AppTest) -> str:
    """All plain text of the page."""
    return "\n".join(item.value for item in page.markdown)
