"""The web page's front door: `streamlit run streamlit_app.py`, or `make app`."""

from streamlit.starlette import App

from vision_app.ui import server

app = App(**server.options())
