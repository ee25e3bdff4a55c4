"use strict";
// Pictures

const root = document.documentElement;
const specifications = JSON.parse(document.getElementById("figures").textContent);

function resolved(value, key, styles) {
  // Names of base.css's properties, where a colour stands, become the colours of the theme.
  if (typeof value === "string") {
    return key.endsWith("color") && value.startsWith("--") ? styles.getPropertyValue(value).trim() : value;
  }
  if (Array.isArray(value)) {
    if (key === "colorscale") return value.map(([at, colour]) => [at, styles.getPropertyValue(colour).trim()]);
    return value.length && typeof value[0] === "object" ? value.map((item) => resolved(item, key, styles)) : value;
  }
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, resolved(item, name, styles)]));
  }
  return value;
}

function axisOf(given) {
  const style = { automargin: true, gridcolor: "--faint", linecolor: "--line", zeroline: false, ticklen: 0, color: "--muted" };
  const title = given.title && given.title.text ? { standoff: 10, font: { size: 13 }, ...given.title } : undefined;
  return { ...style, ...given, title };
}

function layoutOf(specification) {
  const given = specification.layout;
  const narrow = window.innerWidth < 600;
  return {
    hovermode: "closest",
    showlegend: true,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" },
    ...given,
    margin: { l: narrow ? 44 : 56, r: 16, t: 14, b: 44, ...given.margin },
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "--text" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: "--raised", bordercolor: "--line", font: { color: "--text", size: 13 }, align: "left" },
    height: specification.height,
    xaxis: axisOf(given.xaxis),
    yaxis: axisOf(given.yaxis),
  };
}

const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset" };

const PAPER_PX = 600; // what a figure has of a page of A4 or letter

function draw(specification, width) {
  const styles = getComputedStyle(root);
  const element = document.getElementById(`plot-${specification.key}`);
  const traces = specification.data.map((trace) => ({ type: "scatter", ...trace }));
  return Plotly.react(element, resolved(traces, "", styles), resolved({ ...layoutOf(specification), width }, "", styles), CONFIG);
}

// One after the other, so that the page can be read and scrolled meanwhile.
let drawing = 0;
function drawAll() {
  const turn = ++drawing;
  root.dataset.drawn = "";
  let next = 0;
  function step() {
    if (turn !== drawing) return;
    if (next === specifications.length) {
      root.dataset.drawn = "all";
      return;
    }
    draw(specifications[next++]);
    setTimeout(step, 0);
  }
  step();
}

// Printed at once: what is not drawn yet, too, as wide as paper is, and in the colours of paper.
addEventListener("beforeprint", () => {
  const theme = root.dataset.theme;
  root.dataset.theme = "light";
  drawing++; // ends what is being drawn
  specifications.forEach((specification) => draw(specification, PAPER_PX));
  const back = () => {
    document.querySelectorAll(".plot").forEach((plot) => Plotly.purge(plot)); // they would keep the width of paper
    setTheme(theme, false);
  };
  addEventListener("afterprint", back, { once: true });
});

// Light and dark

const themeSwitch = document.getElementById("theme");
function showTheme() {
  const dark = root.dataset.theme === "dark";
  themeSwitch.textContent = dark ? "Light" : "Dark";
  themeSwitch.setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
  themeSwitch.setAttribute("aria-pressed", String(dark));
  if (specifications.length) drawAll();
}
function setTheme(theme, keep) {
  root.dataset.theme = theme;
  try {
    if (keep) localStorage.setItem("docclf-theme", theme);
  } catch (error) {
    // A browser may forbid it to files; then the choice holds for this visit.
  }
  showTheme();
}
themeSwitch.addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark", true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  let kept = null;
  try {
    kept = localStorage.getItem("docclf-theme");
  } catch (error) {
    // as above
  }
  if (!kept) setTheme(event.matches ? "dark" : "light", false);
});
showTheme();

// Commands

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.command);
    } catch (error) {
      const area = document.createElement("textarea");
      area.value = button.dataset.command;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

// Table of trials

const { columns, rows, links } = JSON.parse(document.getElementById("rows").textContent);
const PAGE_ROWS = 50;
const table = document.getElementById("trials");
const find = document.getElementById("find");
const stateFilter = document.getElementById("state");
let sorted = { column: 0, descending: false };
let first = 0;

const key = (cell) => (Array.isArray(cell) ? cell[0] : cell);
const text = (cell) => (Array.isArray(cell) ? cell[1] : cell === null ? "" : String(cell));
const number = (value) => value.toLocaleString("en");
const haystacks = rows.map((row) => row.map(text).join(" ").toLowerCase());

function compare(a, b) {
  const [x, y] = [key(a[sorted.column]), key(b[sorted.column])];
  const empty = (value) => value === null || value === "";
  if (empty(x) || empty(y)) return empty(x) - empty(y); // at the end in either direction
  const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
  return sorted.descending ? -order : order;
}

function chosenRows() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(
    (row, i) => (!stateFilter.value || row[1] === stateFilter.value) && words.every((word) => haystacks[i].includes(word)),
  );
  return found.sort(compare);
}

function cellOf(row, column) {
  const cell = document.createElement(column === 0 ? "th" : "td");
  const shown = text(row[column]);
  if (column === 0) {
    cell.scope = "row";
    const link = links[shown];
    const inner = document.createElement(link ? "a" : "span");
    if (link) inner.href = link;
    inner.textContent = shown;
    cell.append(inner);
  } else if (column === 1) {
    const state = document.createElement("span");
    state.className = `state ${shown.split(" ")[0]}`;
    state.textContent = shown;
    cell.append(state);
  } else {
    cell.textContent = shown;
    if (columns[column].kind === "number") cell.className = "n";
    if (column === columns.length - 1) cell.className = "wide";
  }
  return cell;
}

function showRows() {
  const found = chosenRows();
  first = Math.max(0, Math.min(first, found.length - 1));
  first -= first % PAGE_ROWS;
  const body = document.createElement("tbody");
  for (const row of found.slice(first, first + PAGE_ROWS)) {
    const line = document.createElement("tr");
    columns.forEach((_, column) => line.append(cellOf(row, column)));
    body.append(line);
  }
  table.tBodies[0].replaceWith(body);
  document.getElementById("count").textContent =
    (found.length === rows.length ? "" : `${number(found.length)} of `) + `${number(rows.length)} trials`;
  const last = Math.min(first + PAGE_ROWS, found.length);
  document.getElementById("page").textContent = found.length ? `${number(first + 1)} to ${number(last)}` : "none";
  document.getElementById("back").disabled = first === 0;
  document.getElementById("more").disabled = last >= found.length;
  document.querySelector(".pager").hidden = found.length <= PAGE_ROWS && first === 0;
}

function showHeadings() {
  const line = document.createElement("tr");
  columns.forEach(({ name, kind }, column) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    if (kind === "number") cell.className = "n";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      sorted = { column, descending: sorted.column === column ? !sorted.descending : kind === "number" };
      [...line.cells].forEach((other, i) => {
        if (i === column) other.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
        else other.removeAttribute("aria-sort");
      });
      first = 0;
      showRows();
    });
    cell.append(button);
    line.append(cell);
  });
  line.cells[0].setAttribute("aria-sort", "ascending");
  table.tHead.replaceChildren(line);
}

for (const state of [...new Set(rows.map((row) => row[1]))].sort()) {
  stateFilter.append(new Option(state, state));
}
for (const [element, event] of [[find, "input"], [stateFilter, "change"]]) {
  element.addEventListener(event, () => ((first = 0), showRows()));
}
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("back").addEventListener("click", () => ((first -= PAGE_ROWS), showRows()));
document.getElementById("more").addEventListener("click", () => ((first += PAGE_ROWS), showRows()));
showHeadings();
showRows();
