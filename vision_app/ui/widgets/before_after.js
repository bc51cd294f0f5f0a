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
