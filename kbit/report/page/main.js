// The page: decode, wire the controls, draw every figure, and draw again what a choice changes.

class Page {
  constructor(payload) {
    Object.assign(this, payload);
    this.tables = Object.fromEntries(Object.entries(payload.tables).map(([name, table]) => [name, toRows(table)]));
    this.fitColumns = Object.keys(payload.tables.fits.columns);
    this.families = this.palettes.family.map((series) => series.value);
    state.defaults.set("accounting", Object.keys(this.accountings)[0]);
    state.defaults.set("metric", Object.keys(this.metrics)[0]);
    state.defaults.set("hide", "");
    state.defaults.set("theme", "auto");
    this.views = payload.figures.map((figure) => new FigureView(figure, this));
    this.fitTable = new FitTable(this);
  }

  shownFamilies() {
    const hidden = state.getList("hide");
    return this.families.filter((family) => !hidden.includes(family));
  }

  // Values of a column among rows, in the order of its palette.
  order(column, rows) {
    const present = new Set(rows.map((row) => row[column]));
    return this.palettes[column].map((series) => series.value).filter((value) => present.has(value));
  }

  label(column, value) {
    return this.palettes[column]?.find((series) => series.value === value)?.label ?? String(value);
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
  }

  syncVerdicts() {
    const pick = (accepted, wanted) => (wanted in accepted ? wanted : Object.keys(accepted)[0]);
    const wanted = `${pick(this.accountings, state.get("accounting"))}/${pick(this.metrics, state.get("metric"))}`;
    for (const box of document.querySelectorAll("[data-view]")) box.hidden = box.dataset.view !== wanted;
  }

  bind() {
    for (const input of document.querySelectorAll("#bar input[type=radio]"))
      input.addEventListener("change", () => state.set(input.name, input.value));
    for (const input of document.querySelectorAll("#bar input[type=checkbox]"))
      input.addEventListener("change", () => state.toggle("hide", input.value));
    document.getElementById("theme").addEventListener("change", (event) => state.set("theme", event.target.value));
    state.listeners.push((key) => this.refresh(key));
  }

  // A key with a dot belongs to one figure; others (or none: a link) concern all.
  async refresh(key) {
    this.drawing = (this.drawing ?? 0) + 1;
    document.documentElement.dataset.state = "drawing";
    this.applyTheme();
    this.syncBar();
    this.syncVerdicts();
    if (key === null || key.startsWith("fits.")) this.fitTable.draw();
    const concerned = key === "theme" ? [] : this.views.filter((view) => !key?.includes(".") || key.startsWith(`${view.figure.name}.`));
    await Promise.all(concerned.map((view) => view.draw()));
    if (--this.drawing === 0) document.documentElement.dataset.state = "ready";
  }
}

const page = new Page(await readPayload(document.getElementById("payload")));
page.bind();
await state.restore();
