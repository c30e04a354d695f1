// Elements: small builders of HTML, legend symbols, and how numbers are written.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Paths in a box of 12 x 12, in the orientation in which Vega draws the same names.
const SYMBOLS = {
  circle: "M6 1.6a4.4 4.4 0 1 0 .01 0z",
  square: "M2 2h8v8H2z",
  diamond: "M6 .6 11 6l-5 5.4L1 6z",
  cross: "M4.3 1h3.4v3.3H11v3.4H7.7V11H4.3V7.7H1V4.3h3.3z",
  "triangle-up": "M6 1.2 11 10.4H1z",
  "triangle-down": "M6 10.8 11 1.6H1z",
  "triangle-right": "M10.8 6 1.6 11V1z",
  "triangle-left": "M1.2 6 10.4 1v10z",
  wedge: "M6 .6 8.4 11.4H3.6z",
};

function symbol(series) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SYMBOLS[series.shape]);
  path.setAttribute("fill", `var(${series.variable})`);
  svg.append(path);
  return svg;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

// Whole numbers with thin groups; others to five significant digits; a true minus sign.
function formatValue(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  const small = value !== 0 && Math.abs(value) < 1e-4;
  const text = Number.isInteger(value) ? whole.format(value) : small ? value.toExponential(2) : String(Number(value.toPrecision(5)));
  return text.replace("-", "−");
}

// More rows than this make a page slow and no table more readable; the CSV has them all.
const MOST_ROWS = 500;

function dataTable(allRows, columns, labels, caption) {
  const rows = allRows.slice(0, MOST_ROWS);
  const cut = rows.length < allRows.length ? ` · the first ${rows.length} rows; the CSV has all ${allRows.length}` : "";
  const numeric = new Set(columns.filter((column) => rows.some((row) => typeof row[column] === "number")));
  const wide = new Set(columns.filter((column) => rows.some((row) => String(row[column] ?? "").length > 60)));
  const kind = (column) => (numeric.has(column) ? "number" : wide.has(column) ? "wide" : null);
  const cell = (tag, column, text) => element(tag, { class: kind(column), scope: tag === "th" ? "col" : null }, text);
  const head = element("thead", {}, element("tr", {}, ...columns.map((column) => cell("th", column, labels[column] ?? column))));
  const body = rows.map((row) => element("tr", {}, ...columns.map((column) => cell("td", column, formatValue(row[column])))));
  return element("table", {}, element("caption", {}, caption + cut), head, element("tbody", {}, ...body));
}

// A labelled choice; `values` are offered as they are, or as `text` words them.
function selectField(id, label, values, chosen, onchange, text = String) {
  const options = values.map((value) => element("option", { value, selected: String(value) === String(chosen) }, text(value)));
  const select = element("select", { id, onchange: (event) => onchange(event.target.value) }, ...options);
  return element("label", { for: id }, element("span", {}, label), select);
}

// Replaces the controls in a box; the one that the reader just used keeps the focus.
function replaceControls(box, ...fields) {
  const focused = box.contains(document.activeElement) ? document.activeElement.id : null;
  box.replaceChildren(...fields);
  if (focused) document.getElementById(focused)?.focus();
}
