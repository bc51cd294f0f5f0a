"""The web page, one file a page. Nothing else in the package imports streamlit."""
