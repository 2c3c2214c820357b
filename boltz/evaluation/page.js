"use strict";
// Shows snapshots and hidden units. All text goes in as text, never as HTML.
const runs = JSON.parse(document.getElementById("values").textContent);

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function showSnapshot(run, place) {
  const snapshot = runs[run].snapshots[place];
  document.getElementById(`when-${run}`).textContent = snapshot.when;
  document.getElementById(`slider-${run}`).setAttribute("aria-valuetext", snapshot.when);
  for (const what of ["samples", "filters"]) document.getElementById(`${what}-${run}`).src = snapshot[what];
}

function rowItem(row, activity) {
  const item = element("li");
  item.append(element("img", "", { src: row.image, alt: row.name }), element("div", row.name), element("div", activity));
  return item;
}

function showUnit(button) {
  const run = runs[button.dataset.run], unit = run.units[button.dataset.unit];
  for (const other of button.parentNode.children) {
    other.setAttribute("aria-pressed", other === button);
    other.tabIndex = other === button ? 0 : -1;
  }
  const facts = element("table"), rows = element("ul", "", { class: "rows" });
  for (const [name, value] of unit.facts) {
    const line = facts.insertRow();
    line.append(element("th", name, { scope: "row" }), element("td", value));
  }
  for (const [place, activity] of unit.rows) rows.append(rowItem(run.rows[place], activity));
  const detail = document.getElementById(`detail-${button.dataset.run}`);
  const filter = element("img", "", { src: button.firstChild.src, alt: `${run.filter} of ${unit.name}` });
  detail.replaceChildren(element("h4", unit.name), filter, facts);
  if (unit.rows.length) detail.append(element("h4", "Rows that drive it most"), rows);
}

function moved(button, key) {
  const all = [...button.parentNode.children], place = all.indexOf(button);
  const across = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key];
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  return step && all[place + step];
}

for (const slider of document.querySelectorAll("input[type=range]")) {
  slider.addEventListener("input", () => showSnapshot(slider.dataset.run, slider.value));
  showSnapshot(slider.dataset.run, slider.value);
}
for (const button of document.querySelectorAll(".units button")) {
  button.addEventListener("click", () => showUnit(button));
  button.addEventListener("keydown", (event) => {
    const next = moved(button, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
    showUnit(next);
  });
}
for (const units of document.querySelectorAll(".units")) if (units.firstChild) showUnit(units.firstChild);
