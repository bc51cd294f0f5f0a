"""The frame of the web page: its title, its pages and how errors are shown."""

from pathlib import Path

import streamlit as st

from vision_app.core.errors import VisionAppError
from vision_app.core.text import escape
from vision_app.ui import compare, detect, identify, people, style, verify, webcam
from vision_app.ui.style_job import job_slot

ICON = Path(__file__).with_name("icon.png")  # a named icon would be fetched from a font server by the browser


def main() -> None:
    """Draw the page that the visitor chose."""
    st.set_page_config(page_title="Vision App", page_icon=ICON, layout="wide")
    objects = [
        st.Page(detect.page, title="Detect", icon=":material/center_focus_strong:", default=True),
        st.Page(compare.page, title="Compare", icon=":material/compare:", url_path="compare"),
        st.Page(style.page, title="Style", icon=":material/palette:", url_path="style"),
    ]
    faces = [
        st.Page(people.page, title="People", icon=":material/group:", url_path="people"),
        st.Page(verify.page, title="Verify", icon=":material/how_to_reg:", url_path="verify"),
        st.Page(identify.page, title="Identify", icon=":material/person_search:", url_path="identify"),
        st.Page(webcam.page, title="Webcam", icon=":material/videocam:", url_path="webcam"),
    ]
    page = st.navigation({"": objects, "Faces": faces}, position="top")
    if page.url_path != "style":
        job_slot().clear()  # nobody sees its result
    try:
        page.run()
    except VisionAppError as error:
        st.error(escape(str(error)), icon=":material/error:")


if __name__ == "__main__":
    main()
