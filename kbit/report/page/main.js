// The page: decode, wire the controls, draw every figure, and draw again what a choice changes.

class Page {
  constructor(payload) {
    Object.assign(this, payload);
    const { cells, ...tables } = payload.tables;
    this.tables = Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, toRows(table)]));
    this.cells = toColumns(cells); // 38,000 of them stay columns
    this.fitColumns = Object.keys(payload.tables.fits.columns);
    this.families = this.palettes.family.map((series) => series.value);
    state.defaults.set("accounting", Object.keys(this.accountings)[0]);
    state.defaults.set("metric", Object.keys(this.metrics)[0]);
    state.defaults.set("hide", "");
    state.defaults.set("theme", "auto");
    this.tasks = new TaskScores(this);
    this.views = payload.figures.map((figure) => new FigureView(figure, this));
    this.fitTable = new FitTable(this);
    this.explorer = new CellExplorer(this);
    this.pending = new Set();
  }

  shownFamilies() {
    const hidden = state.getList("hide");
    return this.families.filter((family) => !hidden.includes(family));
  }

  // What figures of a table draw, of the chosen task where it is of this metric.
  rowsOf(table, metric) {
    return table === "points" ? this.tasks.rows(metric) : this.tables[table];
  }

  // Values of a column among rows, in the order of its palette.
  order(column, rows) {
    const present = new Set(rows.map((row) => row[column]));
    return this.palettes[column].map((series) => series.value).filter((value) => present.has(value));
  }

  label(column, value) {
    return String(this.palettes[column]?.find((series) => series.value === value)?.label ?? value);
  }

  applyTheme() {
    const theme = state.get("theme");
    document.documentElement.style.colorScheme = theme === "light" || theme === "dark" ? theme : "";
  }

  // Controls of the bar follow the state (which a link or the back button may have changed).
  syncBar() {
    for (const input of document.querySelectorAll("#bar input[type=radio]")) input.checked = input.value === state.get(input.name);
    const shown = this.shownFamilies();
    for (const input of document.querySelectorAll("#bar input[type=checkbox]")) input.checked = shown.includes(input.value);
    document.getElementById("theme").value = state.get("theme");
    const task = document.getElementById("task");
    if (task) task.value = this.tasks.chosen()?.task ?? "";
  }

  syncVerdicts() {
    const pick = (accepted, wanted) => (wanted in accepted ? wanted : Object.keys(accepted)[0]);
    const metric = pick(this.metrics, state.get("metric"));
    const wanted = `${pick(this.accountings, state.get("accounting"))}/${metric}`;
    for (const box of document.querySelectorAll("[data-view]")) box.hidden = box.dataset.view !== wanted;
    const task = this.tasks.of(metric);
    const note = document.getElementById("of-means");
    note.hidden = task === null;
    note.textContent = task ? `Charts show ${task.label} alone; verdicts, shares and fits are of all tasks together.` : "";
  }

  bind() {
    for (const input of document.querySelectorAll("#bar input[type=radio]"))
      input.addEventListener("change", () => state.set(input.name, input.value));
    for (const input of document.querySelectorAll("#bar input[type=checkbox]"))
      input.addEventListener("change", () => state.toggle("hide", input.value));
    document.getElementById("theme").addEventListener("change", (event) => state.set("theme", event.target.value));
    this.offerTasks();
    state.listeners.push((key) => this.refresh(key));
  }

  offerTasks() {
    const offered = this.tasks.offered();
    if (!offered.length) return;
    const text = (value) => offered.find((task) => task.task === value)?.label ?? "mean of all";
    const names = ["", ...offered.map((task) => task.task)];
    document.getElementById("tasks").append(selectField("task", "Task", names, "", (value) => this.tasks.choose(value), text));
  }

  // A key with a dot belongs to one figure; others (or none: a link) concern all.
  async refresh(key) {
    document.documentElement.dataset.state = "drawing";
    this.applyTheme();
    this.syncBar();
    this.syncVerdicts();
    const concerns = (name) => key === null || key.startsWith(`${name}.`);
    const isGlobal = key !== null && key !== "theme" && !key.includes(".");
    for (const view of this.views) if (isGlobal || concerns(view.figure.choicesOf)) this.pending.add(view);
    if (concerns("fits")) this.pending.add(this.fitTable);
    if (concerns("cells") || key === "hide") this.pending.add(this.explorer);
    this.drawing ??= this.drain();
    await this.drawing;
  }

  // One figure after the other, those that the reader sees first; what is asked for meanwhile joins the queue.
  async drain() {
    while (this.pending.size) {
      await new Promise((resolve) => setTimeout(resolve)); // lets the browser paint, and take input
      const away = (view) => {
        const { top, bottom } = view.root.getBoundingClientRect();
        return top > innerHeight ? top - innerHeight : bottom < 0 ? 1e6 - bottom : 0;
      };
      const next = [...this.pending].sort((a, b) => away(a) - away(b))[0];
      this.pending.delete(next);
      await next.draw();
    }
    this.drawing = null;
    document.documentElement.dataset.state = "ready";
  }
}

const page = new Page(await readPayload(document.getElementById("payload")));
page.bind();
await state.restore();
