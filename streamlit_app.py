"""The web page's front door: `streamlit run streamlit_app.py`, or `make app`."""

from vision_app.ui.app import main

main()
