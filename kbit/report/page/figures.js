// Figures: rows by the reader's choices, one Vega view per panel, a legend, a table and downloads of what is drawn.

class FigureView {
  constructor(figure, page) {
    Object.assign(this, { figure, page, offered: new Map() });
    this.root = document.getElementById(figure.name);
    for (const part of ["controls", "legend", "caption", "note", "twin"]) this[part] = this.root.querySelector(`.${part}`);
    this.panels = new Panels(figure, page, this.root.querySelector(".panels"));
    this.follows = figure.choicesOf !== figure.name;
    state.defaults.set(this.key("show"), figure.quantities[0]);
    state.defaults.set(this.key("hide"), "");
    for (const select of figure.selects) state.defaults.set(this.key(select.field), String(this.preferred(select)));
    this.bindDownloads();
  }

  key(field) {
    return `${this.figure.choicesOf}.${field}`;
  }

  // Asked for many times in every drawing, and always the same: neither rows nor scope change.
  choices(select) {
    if (!this.offered.has(select)) this.offered.set(select, this.listChoices(select));
    return this.offered.get(select);
  }

  listChoices(select) {
    const scope = this.page.tables[this.figure.table].filter((row) => this.inScope(row));
    const offered = scope.filter((row) => this.figure.needs.every((column) => row[column] !== null)).map((row) => row[select.field]);
    const values = [...new Set(offered)].filter((value) => value !== null && value !== "none" && !select.always.includes(value));
    const number = (value) => (/^\d+$/.test(value) ? Number(value) : Infinity);
    return values.sort((a, b) => number(a) - number(b) || String(a).localeCompare(String(b)));
  }

  preferred(select) {
    const choices = this.choices(select);
    return select.prefer.find((value) => choices.includes(value)) ?? choices[0] ?? "";
  }

  inScope(row) {
    return Object.entries(this.figure.where).every(([column, values]) => values.includes(row[column]));
  }

  chosen(select) {
    const wanted = state.get(this.key(select.field));
    return this.choices(select).some((value) => String(value) === wanted) ? wanted : String(this.preferred(select));
  }

  view() {
    const pick = (accepted, wanted) => (accepted.includes(wanted) ? wanted : accepted[0]);
    const { accountings, metrics, quantities } = this.figure;
    const accounting = pick(accountings, state.get("accounting"));
    const metric = pick(metrics, state.get("metric"));
    const quantity = pick(quantities, state.get(this.key("show")));
    return { accounting, metric, ...this.figure.views[`${accounting}/${metric}/${quantity}`] };
  }

  // The rows of the reader's choices, hidden series included: the legend offers them. Then those without a value.
  rows(view) {
    const families = new Set(this.page.shownFamilies());
    const picks = this.figure.selects.map((select) => [select, this.chosen(select)]);
    const needs = [view.y, this.figure.x === "accounting" ? view.accounting : this.figure.x, ...this.figure.needs];
    const chosen = this.page.rowsOf(this.figure.table, view.metric).filter(
      (row) =>
        families.has(row.family) &&
        this.inScope(row) &&
        this.figure.follows.every((column) => row[column] === view[column]) &&
        picks.every(([select, wanted]) => String(row[select.field]) === wanted || select.always.includes(row[select.field])),
    );
    const rows = chosen.filter((row) => needs.every((column) => row[column] !== null));
    return { rows, without: chosen.length - rows.length };
  }

  // The chart of an empty panel says so; a figure never vanishes.
  async draw() {
    const view = this.view();
    const { rows, without } = this.rows(view);
    const hidden = new Set(state.getList(this.key("hide")));
    const drawn = rows.filter((row) => !hidden.has(String(row[this.figure.series])));
    if (!this.follows) this.drawControls();
    this.drawLegend(rows, hidden);
    this.caption.textContent = this.page.tasks.words(view.caption, view.metric);
    this.drawTwin(drawn, view);
    const outside = await this.panels.draw(view, drawn);
    this.note.textContent = this.noteText(drawn, outside, without);
  }

  noteText(rows, outside, without) {
    const lines = this.figure.note ? [NOTES[this.figure.note](rows)] : [];
    const marks = this.panels.thin(rows).length;
    if (marks < rows.length) lines.push(`The chart shows ${marks} of the ${rows.length}, evenly spread; the CSV has all.`);
    if (outside) lines.push(`${outside} of ${rows.length} points lie outside the vertical axis; the table below has them.`);
    if (without) lines.push(`${without} more ${without > 1 ? "have" : "has"} no such value: ${this.figure.withoutValue}.`);
    return lines.join(" ");
  }

  drawControls() {
    const field = (label, name, values, chosen, text) =>
      selectField(`${this.figure.name}-${name}`, label, values, chosen, (value) => state.set(this.key(name), value), text);
    const fields = this.figure.selects
      .filter((select) => this.choices(select).length > 1)
      .map((select) => field(select.label, select.field, this.choices(select), this.chosen(select), (value) => this.page.label(select.field, value)));
    if (this.figure.quantities.length > 1) {
      const { quantities } = this.page;
      fields.push(field("Show", "show", this.figure.quantities, state.get(this.key("show")), (value) => quantities[value]));
    }
    replaceControls(this.controls, ...fields);
  }

  drawLegend(rows, hidden) {
    const present = new Set(rows.map((row) => row[this.figure.series]));
    const entries = this.page.palettes[this.figure.series].filter((series) => present.has(series.value));
    const focused = this.legend.contains(document.activeElement) ? document.activeElement.dataset.value : null;
    const buttons = entries.map((series) => {
      const value = String(series.value);
      const onclick = () => state.toggle(this.key("hide"), value);
      const pressed = String(!hidden.has(value));
      return element("button", { type: "button", "aria-pressed": pressed, "data-value": value, title: "Show or hide", onclick }, symbol(series), String(series.label));
    });
    this.legend.replaceChildren(...buttons);
    if (focused !== null) buttons.find((button) => button.dataset.value === focused)?.focus();
  }

  drawTwin(rows, view) {
    const { columns, title } = this.figure;
    const labels = { ...this.page.labels, [view.metric]: this.page.tasks.words(this.page.labels[view.metric], view.metric) };
    this.drawn = rows;
    this.twin.querySelector("summary").textContent = `Table of the ${rows.length} points drawn`;
    const table = this.twin.querySelector(".table");
    // A closed table is made when it is opened: a page of ten of them draws at once.
    const make = () => table.replaceChildren(dataTable(rows, columns, labels, title));
    this.twin.ontoggle = () => this.twin.open && !table.firstChild && make();
    if (this.twin.open) make();
    else table.replaceChildren();
  }

  bindDownloads() {
    const name = `${this.page.study.name}-${this.figure.name}`;
    const image = () => figureSvg(this.root, this.figure.title, this.caption.textContent);
    const make = {
      csv: () => download(`${name}.csv`, toCsv(this.drawn, this.figure.columns)),
      svg: () => download(`${name}.svg`, image().text, "image/svg+xml"),
      png: async () => download(`${name}.png`, await toPng(image())),
    };
    for (const button of this.root.querySelectorAll(".download")) button.onclick = () => make[button.dataset.format]();
  }
}
