"""Settings that every model has its own values of, and what its card says."""

import streamlit as st

from vision_app.released.find import Model
from vision_app.ui.text import escape


def percentage(label: str, default: float, model: str, help: str) -> float:
    """Draw a slider from 1 % to 99 % and return its value, 0.01 to 0.99."""
    key = f"{label} {model}"
    return st.slider(label, 0.01, 0.99, float(default), step=0.01, format="percent", key=key, help=help)


def about(model: Model) -> None:
    """Draw what `model.json` says: measured accuracy, defaults, training data and license."""
    info = model.info
    facts = {
        "Classes": str(len(model.classes)),
        "Default confidence": f"{model.defaults['confidence']:.0%}",
        **{
            f"Accuracy on {name}": ", ".join(f"{metric} {value:.3f}" for metric, value in measured.items())
            for name, measured in info.get("measured", {}).items()
        },
        "Parameters": f"{info['parameters'] / 1e6:.2f} million" if "parameters" in info else "",
        "Trained on": "; ".join(info.get("learned_from", [])),
        "License": info.get("license", ""),
    }
    with st.expander(f"About {escape(model.name)}", icon=":material/info:"):
        for name, text in facts.items():
            if text:
                st.caption(f"**{escape(name)}**  \n{escape(text)}")
