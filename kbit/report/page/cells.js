// The explorer: every cell of the study, filtered, sorted, page by page; and one of them with all that is known of it.

const CELLS_PER_PAGE = 50;

class CellExplorer {
  static filters = ["family", "model", "data_type", "bits", "block_size", "option", "task", "status"];
  static columns = ["model", "spec", "task", "bits", "total_bits", "value", "stderr", "change", "n", "status"];
  static texts = {
    value: "score", stderr: "standard error", change: "minus 16 bits", n: "items", status: "status", task: "task",
    bits: "bits k", model: "model", spec: "quantization", option: "option",
  };

  constructor(page) {
    this.page = page;
    this.root = document.getElementById("cells");
    for (const part of ["controls", "count", "table", "pager", "detail"]) this[part] = this.root.querySelector(`.${part}`);
    for (const name of [...CellExplorer.filters, "text", "sort", "id"]) state.defaults.set(`cells.${name}`, "");
    state.defaults.set("cells.page", "1");
    this.n = page.cells.point.length;
    this.ids = new Map(page.cells.id.map((id, cell) => [id, cell]));
    this.controls16 = this.controlScores();
    this.root.querySelector(".download").onclick = () => this.downloadCsv();
    this.search = this.makeSearch();
  }

  // (model, task) -> score of the 16-bit control.
  controlScores() {
    const { point, task, value } = this.page.cells;
    const scores = new Map();
    for (let cell = 0; cell < this.n; cell++) {
      const row = this.page.tables.points[point[cell]];
      if (row.data_type === "none") scores.set(`${task[cell]} ${row.model}`, value[cell]);
    }
    return scores;
  }

  // A column of a cell: its own number, or one of its point, its task.
  read(cell, column) {
    const { cells, tables } = this.page;
    if (column === "task") return tables.tasks[cells.task[cell]].task;
    if (column === "change") return this.change(cell);
    if (column in cells) return cells[column][cell];
    return tables.points[cells.point[cell]][column];
  }

  change(cell) {
    const { cells, tables } = this.page;
    const value = cells.value[cell];
    const control = this.controls16.get(`${cells.task[cell]} ${tables.points[cells.point[cell]].model}`) ?? null;
    return value === null || control === null ? null : value - control;
  }

  // Filters apply one after the other; each offers what the ones before it leave, and one that would leave nothing is off.
  narrow() {
    let left = Array.from({ length: this.n }, (_, cell) => cell);
    const families = new Set(this.page.shownFamilies());
    if (families.size < this.page.families.length) left = left.filter((cell) => families.has(this.read(cell, "family")));
    const words = state.get("cells.text").toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (cell) => {
      const text = `${this.read(cell, "model")} ${this.read(cell, "spec")} ${this.read(cell, "task")} ${this.page.cells.id[cell]}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    if (words.length) left = left.filter(matches);
    const steps = CellExplorer.filters.map((column) => {
      const values = [...new Set(left.map((cell) => this.read(cell, column)))].filter((value) => value !== null);
      const chosen = values.find((value) => String(value) === state.get(`cells.${column}`)) ?? "";
      if (chosen !== "") left = left.filter((cell) => this.read(cell, column) === chosen);
      return { column, values: values.sort(this.compare), chosen };
    });
    return { steps, left };
  }

  compare(a, b) {
    const [x, y] = [Number(a), Number(b)];
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return Number.isNaN(x) === Number.isNaN(y) ? String(a).localeCompare(String(b)) : Number.isNaN(x) ? 1 : -1;
  }

  // "-value" is descending; cells without a value come last either way.
  sorted(left) {
    const wanted = state.get("cells.sort");
    const column = wanted.replace(/^-/, "");
    if (!CellExplorer.columns.includes(column)) return left;
    const sign = wanted.startsWith("-") ? -1 : 1;
    const keys = new Map(left.map((cell) => [cell, this.read(cell, column)]));
    return [...left].sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0);
    });
  }

  draw() {
    const { steps, left } = this.narrow();
    this.cellsShown = this.sorted(left);
    replaceControls(this.controls, this.search, ...steps.map((step) => this.filter(step)));
    if (this.search.lastChild !== document.activeElement) this.search.lastChild.value = state.get("cells.text");
    const pages = Math.max(1, Math.ceil(left.length / CELLS_PER_PAGE));
    const number = Math.min(pages, Math.max(1, Math.trunc(Number(state.get("cells.page"))) || 1));
    const from = (number - 1) * CELLS_PER_PAGE;
    const shown = this.cellsShown.slice(from, from + CELLS_PER_PAGE);
    this.count.textContent = left.length
      ? `${formatValue(left.length)} of ${formatValue(this.n)} cells; ${formatValue(from + 1)} to ${formatValue(from + shown.length)} shown.`
      : "No cell fits these filters.";
    this.drawTable(shown);
    this.drawPager(number, pages);
    this.drawDetail();
  }

  makeSearch() {
    let wait = 0;
    const later = (event) => {
      clearTimeout(wait);
      wait = setTimeout(() => state.setAll({ "cells.text": event.target.value, "cells.page": "1" }), 150);
    };
    const input = element("input", { id: "cells-text", type: "search", placeholder: "model, spec, task or id", oninput: later });
    return element("label", { for: "cells-text" }, element("span", {}, "Search"), input);
  }

  filter({ column, values, chosen }) {
    const label = CellExplorer.texts[column] ?? this.page.labels[column] ?? column;
    const choose = (value) => state.setAll({ [`cells.${column}`]: value, "cells.page": "1" });
    return selectField(`cells-${column}`, label, ["", ...values], chosen, choose, (value) => (value === "" ? "any" : String(value)));
  }

  drawTable(shown) {
    const numeric = new Set(["bits", "total_bits", "value", "stderr", "change", "n"]);
    const kind = (column) => (numeric.has(column) ? "number" : null);
    const sort = state.get("cells.sort");
    const focused = this.table.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const head = CellExplorer.columns.map((column) => {
      const ordered = sort === column ? "ascending" : sort === `-${column}` ? "descending" : null;
      const next = ordered === "ascending" ? `-${column}` : ordered === "descending" ? "" : column;
      const onclick = () => state.setAll({ "cells.sort": next, "cells.page": "1" });
      const arrow = element("span", { "aria-hidden": "true" }, ordered === "ascending" ? " ▲" : ordered === "descending" ? " ▼" : "");
      const text = CellExplorer.texts[column] ?? this.page.labels[column];
      const button = element("button", { type: "button", class: "sort", "data-key": `sort ${column}`, onclick }, text, arrow);
      return element("th", { scope: "col", class: kind(column), "aria-sort": ordered }, button);
    });
    const rows = shown.map((cell) => {
      const id = this.page.cells.id[cell];
      const onclick = () => state.set("cells.id", id);
      const name = (column) =>
        column === "spec" ? element("button", { type: "button", class: "link", "data-key": id, onclick }, this.read(cell, column)) : formatValue(this.read(cell, column));
      const open = id === state.get("cells.id");
      return element("tr", { class: open ? "open" : null }, ...CellExplorer.columns.map((column) => element("td", { class: kind(column) }, name(column))));
    });
    this.table.replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
    if (focused) [...this.table.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
  }

  drawPager(number, pages) {
    const go = (name, to, off) =>
      element("button", { type: "button", id: `cells-${name}`, disabled: off, onclick: () => state.set("cells.page", String(to)) }, name);
    const fields = [go("first", 1, number === 1), go("previous", number - 1, number === 1), element("span", {}, `page ${formatValue(number)} of ${formatValue(pages)}`),
      go("next", number + 1, number === pages), go("last", pages, number === pages)];
    replaceControls(this.pager, ...(pages > 1 ? fields : []));
  }

  drawDetail() {
    const cell = this.ids.get(state.get("cells.id"));
    this.detail.hidden = cell === undefined;
    if (cell === undefined) return this.detail.replaceChildren();
    const facts = element("dl", { class: "facts" });
    for (const [name, value] of this.facts(cell))
      if (value !== null && value !== "") facts.append(element("dt", {}, name), element("dd", {}, formatValue(value)));
    const close = element("button", { type: "button", class: "download", onclick: () => state.set("cells.id", "") }, "Close");
    const title = element("h3", { id: "cell-title" }, `${this.read(cell, "model")} / ${this.read(cell, "spec")} / ${this.read(cell, "task")}`);
    this.detail.replaceChildren(element("div", { class: "actions" }, title, close), facts, ...this.commands(cell));
  }

  // What the page knows of a cell: itself, its task, its point, its run.
  facts(cell) {
    const { cells, tables, labels, runLabels } = this.page;
    const [point, task, run] = [tables.points[cells.point[cell]], tables.tasks[cells.task[cell]], tables.runs[cells.run[cell]]];
    const started = cells.started[cell] === null ? null : new Date(Date.parse(this.page.epoch) + 1000 * cells.started[cell]).toISOString().replace(".000Z", "Z");
    const spec = ["data_type", "bits", "exponent_bits", "block_size", "option", "bits_per_param", "body_bits", "total_bits"];
    return [
      ["cell id begins with", cells.id[cell]],
      ["task", `${task.label} (${task.kind}, ${task.metric})`],
      ["score", cells.value[cell]],
      ["its standard error", cells.stderr[cell]],
      ["items", cells.n[cell]],
      ["minus the same at 16 bits", this.change(cell)],
      ["status", cells.status[cell]],
      ["error", cells.error[cell]],
      ["family", point.family],
      ["parameters", point.parameters],
      ...spec.map((column) => [labels[column] ?? column, point[column]]),
      ["seconds of scoring", cells.seconds[cell]],
      ["started", started],
      ...Object.entries(runLabels).map(([column, label]) => [label, run[column] ?? null]),
    ];
  }

  commands(cell) {
    const { cells, tables, study } = this.page;
    if (!study.file) return [];
    const run = tables.runs[cells.run[cell]];
    const [point, task] = [tables.points[cells.point[cell]], tables.tasks[cells.task[cell]]];
    const about = { ...point, point: cells.point[cell], task: task.task, divergence: task.divergence, value: cells.value[cell] };
    const lines = recipeCommands(this.page, { ...about, id: cells.id[cell], source: run.source, item_limit: task.item_limit, commit: run.git_commit });
    return lines.flatMap(([label, text]) => [
      ...(label ? [element("p", {}, `${label}:`)] : []),
      element("pre", { tabindex: "0" }, element("code", {}, text)),
    ]);
  }

  downloadCsv() {
    const columns = ["id", "family", "parameters", "bits_per_param", "body_bits", ...CellExplorer.columns, "seconds"];
    const rows = this.cellsShown.map((cell) => Object.fromEntries(columns.map((column) => [column, this.read(cell, column)])));
    download(`${this.page.study.name}-cells.csv`, toCsv(rows, columns));
  }
}
