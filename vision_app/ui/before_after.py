"""Two pictures of one size, one over the other, and a slider that uncovers more of either."""

import numpy as np
import streamlit as st

from vision_app.ui.downloads import data_url, encoded

HTML = """
<figure>
  <img id="after"><img id="before">
  <input type="range" min="0" max="100" step="1" value="50">
  <div id="edge"></div>
  <span id="left">Before</span><span id="right">After</span>
</figure>
"""
CSS = """
figure { --at: 50%; position: relative; margin: 0; border-radius: 0.5rem; overflow: hidden;
  aspect-ratio: var(--ratio); width: min(100%, 80vh * var(--ratio)); }
img, input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; }
#before { clip-path: inset(0 calc(100% - var(--at)) 0 0); }
input { opacity: 0; cursor: ew-resize; touch-action: pan-y; }
input::-webkit-slider-thumb { width: 1px; }
input::-moz-range-thumb { width: 1px; border: 0; }
#edge { position: absolute; top: 0; bottom: 0; left: var(--at); width: 4px; margin-left: -2px; background: white;
  box-shadow: 0 0 4px black; pointer-events: none; }
input:focus-visible + #edge { outline: 3px solid var(--st-primary-color); }
span { position: absolute; bottom: 0.5rem; padding: 0 0.5rem; border-radius: 0.25rem; font-size: 0.875rem;
  color: white; background: rgb(0 0 0 / 60%); pointer-events: none; }
#left { left: 0.5rem; }
#right { right: 0.5rem; }
"""
JS = """
export default function ({ data, parentElement }) {
  const part = (name) => parentElement.querySelector(name);
  for (const name of ["before", "after"]) {
    part(`#${name}`).src = data[name];
    part(`#${name}`).alt = data[`${name}_alt`];
  }
  part("figure").style.setProperty("--ratio", data.ratio);
  const slider = part("input");
  slider.ariaLabel = data.label;
  slider.oninput = () => part("figure").style.setProperty("--at", `${slider.value}%`);
}
"""
_component = st.components.v2.component("before_after", html=HTML, css=CSS, js=JS)


def before_after(before: np.ndarray, after: np.ndarray, alts: tuple[str, str]) -> None:
    """Draw two pictures, each (H, W, 3) uint8 RGB of the same size, with what each is in words."""
    _component(
        data={
            "before": data_url(encoded(before, ".jpg"), "image/jpeg"),
            "after": data_url(encoded(after, ".jpg"), "image/jpeg"),
            "before_alt": alts[0],
            "after_alt": alts[1],
            "ratio": after.shape[1] / after.shape[0],
            "label": "How much is shown of the picture before, in percent",
        },
        key="before and after",
    )
