// Downloads: what a table shows as CSV, what a figure shows as SVG or PNG. Nothing leaves the file.

// RFC 4180: quoted where needed, full precision, empty for null.
function toCsv(rows, columns) {
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const line = (values) => values.map((value) => quote(value === null || value === undefined ? "" : String(value))).join(",");
  return [line(columns), ...rows.map((row) => line(columns.map((column) => row[column])))].join("\r\n") + "\r\n";
}

function download(name, content, type = "text/csv;charset=utf-8") {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const SVG = "http://www.w3.org/2000/svg";
const FONT = "Inter, Segoe UI, Roboto, Helvetica Neue, Liberation Sans, Arial, sans-serif";
const MARGIN = 16;

function svgNode(tag, attributes, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
}

// Colours of the page are CSS variables; a file of its own gets those of the light page, which papers are.
function lightColours(text) {
  const styles = getComputedStyle(document.documentElement);
  const light = (value) => value.match(/^light-dark\(\s*([^,]+),/)?.[1] ?? value;
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => (name === "--sans" ? FONT : light(styles.getPropertyValue(name).trim())));
}

// A figure as one SVG: title, legend, and the panels where they stand in the page.
function figureSvg(root, title, caption) {
  const panels = root.querySelector(".panels");
  const frame = panels.getBoundingClientRect();
  const [width, top] = [Math.ceil(frame.width) + 2 * MARGIN, MARGIN + 20];
  const svg = svgNode("svg", { xmlns: SVG, width, "font-family": FONT, fill: "#1d2126" });
  svg.append(svgNode("title", {}, title), svgNode("desc", {}, caption));
  svg.append(svgNode("rect", { width: "100%", height: "100%", fill: "#ffffff" }));
  svg.append(svgNode("text", { x: MARGIN, y: MARGIN + 8, "font-size": 15, "font-weight": 600 }, title));
  const below = top + drawLegendInto(svg, root, width, top) - frame.top;
  const place = (node) => {
    const box = node.getBoundingClientRect();
    return { x: box.left - frame.left + MARGIN, y: box.top + below };
  };
  for (const heading of panels.querySelectorAll("h4")) {
    const { x, y } = place(heading);
    svg.append(svgNode("text", { x, y: y + 12, "font-size": 13, "font-weight": 600 }, heading.textContent));
  }
  for (const chart of panels.querySelectorAll(".chart svg")) {
    const [copy, at] = [chart.cloneNode(true), place(chart)];
    for (const name of ["x", "y"]) copy.setAttribute(name, at[name]);
    copy.removeAttribute("style");
    svg.append(copy);
  }
  const height = Math.ceil(frame.bottom + below + MARGIN);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return { text: lightColours(new XMLSerializer().serializeToString(svg)), width, height };
}

// The shown series in rows below the title; returns the height they take.
function drawLegendInto(svg, root, width, top) {
  let [x, y] = [MARGIN, top];
  for (const button of root.querySelectorAll(".legend button[aria-pressed=true]")) {
    const reach = 24 + 6.6 * button.textContent.length;
    if (x > MARGIN && x + reach > width - MARGIN) [x, y] = [MARGIN, y + 18];
    const mark = button.querySelector("svg").cloneNode(true);
    for (const [name, value] of Object.entries({ x, y, width: 10, height: 10 })) mark.setAttribute(name, value);
    svg.append(mark, svgNode("text", { x: x + 15, y: y + 9, "font-size": 12 }, button.textContent));
    x += reach + 10;
  }
  return y - top + 26;
}

// At twice the size, for screens and slides.
async function toPng({ text, width, height }) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = element("canvas", { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
  URL.revokeObjectURL(image.src);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
