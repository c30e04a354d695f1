// Figures: rows by the reader's choices, one Vega view per panel, a legend, a table and a CSV of what is drawn.

class FigureView {
  constructor(figure, page) {
    Object.assign(this, { figure, page, views: [], turn: 0, offered: new Map() });
    this.root = document.getElementById(figure.name);
    for (const part of ["controls", "legend", "panels", "caption", "note", "twin"]) this[part] = this.root.querySelector(`.${part}`);
    state.defaults.set(this.key("show"), figure.quantities[0]);
    state.defaults.set(this.key("hide"), "");
    for (const select of figure.selects) state.defaults.set(this.key(select.field), String(this.preferred(select)));
  }

  get source() {
    return this.page.tables[this.figure.table];
  }

  key(field) {
    return `${this.figure.name}.${field}`;
  }

  // Asked for many times in every drawing, and always the same: neither rows nor scope change.
  choices(select) {
    if (!this.offered.has(select)) this.offered.set(select, this.listChoices(select));
    return this.offered.get(select);
  }

  listChoices(select) {
    const offered = this.source.filter((row) => this.inScope(row)).map((row) => row[select.field]);
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

  // The rows of the reader's choices, hidden series included: the legend offers them.
  rows(view, withoutValue = false) {
    const families = new Set(this.page.shownFamilies());
    const picks = this.figure.selects.map((select) => [select, this.chosen(select)]);
    const needs = [view.y, this.figure.x === "accounting" ? view.accounting : this.figure.x, ...this.figure.needs];
    return this.source.filter(
      (row) =>
        families.has(row.family) &&
        this.inScope(row) &&
        this.figure.follows.every((column) => row[column] === view[column]) &&
        (withoutValue || needs.every((column) => row[column] !== null)) &&
        picks.every(([select, wanted]) => String(row[select.field]) === wanted || select.always.includes(row[select.field])),
    );
  }

  // The chart of an empty panel says so; a figure never vanishes.
  async draw() {
    const turn = ++this.turn;
    const view = this.view();
    const rows = this.rows(view);
    const hidden = new Set(state.getList(this.key("hide")));
    const drawn = rows.filter((row) => !hidden.has(String(row[this.figure.series])));
    this.drawControls();
    this.drawLegend(rows, hidden);
    this.caption.textContent = view.caption;
    this.drawTwin(drawn);
    await this.drawPanels(view, drawn, turn);
  }

  x(view, row) {
    if (this.figure.x === "accounting") return Math.log2(row[view.accounting]);
    return this.figure.logX ? Math.log10(row[this.figure.x]) : row[this.figure.x];
  }

  // Axis ends: x shared by all panels, y by those of one group. Losses have no upper end, and a few diverged points would
  // flatten all others: where the last tenth of the points would stretch the axis more than threefold, those that are
  // further away than the rest is wide are left outside, and counted below the figure.
  domains(view, rows, all) {
    const xs = all.map((row) => this.x(view, row));
    const ys = rows.map((row) => row[view.y]).sort((a, b) => a - b);
    const [lowest, most, highest] = [0, 0.9, 1].map((share) => ys[Math.floor(share * (ys.length - 1))]);
    const stretched = view.robust && highest - lowest > 3 * (most - lowest) && most > lowest;
    let near = stretched ? ys.filter((y) => y <= 2 * most - lowest) : ys;
    const outside = ys.length - near.length;
    if (view.zero) near = [...near, 0].sort((a, b) => a - b); // a change is read against no change
    const pad = (low, high, share) => [low - (high - low || 1) * share, high + (high - low || 1) * share];
    const [x_min, x_max] = pad(Math.min(...xs), Math.max(...xs), 0.05);
    const [y_min, y_max] = pad(near[0], near[near.length - 1], 0.06);
    return { params: { x_min, x_max, y_min, y_max }, outside };
  }

  // At most so many rows, evenly spread.
  thin(rows) {
    const most = this.figure.mostMarks ?? rows.length;
    if (rows.length <= most) return rows;
    return Array.from({ length: most }, (_, mark) => rows[Math.floor((mark * rows.length) / most)]);
  }

  noteText(view, rows, outside) {
    const lines = this.figure.note ? [NOTES[this.figure.note](rows)] : [];
    const marks = this.thin(rows).length;
    if (marks < rows.length) lines.push(`The chart shows ${marks} of the ${rows.length}, evenly spread; the CSV has all.`);
    if (outside) lines.push(`${outside} of ${rows.length} points lie outside the vertical axis; the table below has them.`);
    const without = this.rows(view, true).length - this.rows(view).length;
    if (without) lines.push(`${without} more ${without > 1 ? "have" : "has"} no such value: a cell without a score, or a collapsed one.`);
    return lines.join(" ");
  }

  async drawPanels(view, rows, turn) {
    const fresh = element("div", { class: "groups" });
    const jobs = [];
    let outside = 0;
    const [outer, inner] = this.figure.panels.length === 2 ? this.figure.panels : [null, this.figure.panels[0] ?? null];
    for (const [group, groupRows] of this.split(rows, outer)) {
      const ends = this.domains(view, groupRows, rows);
      outside += ends.outside;
      const panels = this.split(groupRows, inner);
      const single = inner ? "" : " single";
      const columns = panels.length === 4 ? 2 : Math.min(panels.length, 3);
      const grid = element("div", { class: `grid${single}`, style: `--columns: ${columns}` });
      for (const [name, panelRows] of panels) {
        const chart = element("div", { class: this.figure.bars ? "chart low" : "chart" });
        const title = inner ? element("h4", {}, this.page.label(inner, name)) : null;
        grid.append(element("div", { class: "panel" }, title, chart));
        const label = [this.figure.title, group && this.page.label(outer, group), name && this.page.label(inner, name)];
        jobs.push([chart, this.specification(view, this.thin(panelRows), ends, label.filter(Boolean).join(", "))]);
      }
      fresh.append(...(outer ? [element("h4", { class: "group" }, this.page.label(outer, group))] : []), grid);
    }
    if (!rows.length) fresh.append(element("p", { class: "empty" }, "No point of the study fits this choice."));
    this.note.textContent = this.noteText(view, rows, outside);
    const old = this.views;
    const height = this.panels.offsetHeight;
    if (height) this.panels.style.minHeight = `${height}px`; // so that the page does not jump while charts are replaced
    this.panels.replaceChildren(fresh);
    this.views = [];
    old.forEach((result) => result.finalize());
    const results = await Promise.all(jobs.map(([chart, spec]) => vegaEmbed(chart, spec, { actions: false, renderer: "svg", config: this.page.theme })));
    this.panels.style.minHeight = "";
    if (turn === this.turn) this.views = results;
    else results.forEach((result) => result.finalize());
  }

  split(rows, column) {
    if (column === null) return rows.length ? [[null, rows]] : [];
    return this.page.order(column, rows).map((value) => [value, rows.filter((row) => row[column] === value)]);
  }

  // The view's specification with its rows, the shared axis ends and the palette's colours and shapes.
  specification(view, rows, ends, description) {
    const spec = structuredClone(view.spec);
    const bars = this.figure.bars && this.page.order(this.figure.bars, rows);
    if (bars) spec.height *= bars.length;
    const rank = (row) => ({ ...row, rank: bars.indexOf(row[this.figure.bars]) });
    const palette = this.page.palettes[this.figure.series];
    spec.data = { name: "rows", values: bars ? rows.map(rank) : rows };
    spec.description = `${description}. ${rows.length} points; the same numbers stand in the table below the figure.`;
    for (const param of spec.params) param.value = ends.params[param.name] ?? param.value;
    for (const unit of spec.layer ?? [spec])
      for (const channel of ["color", "shape"])
        if (unit.encoding[channel])
          unit.encoding[channel].scale = {
            domain: palette.map((series) => series.value),
            range: palette.map((series) => (channel === "color" ? `var(${series.variable})` : series.shape)),
          };
    return spec;
  }

  drawControls() {
    const fields = this.figure.selects
      .filter((select) => this.choices(select).length > 1)
      .map((select) => this.selectField(select.label, select.field, this.choices(select), this.chosen(select), (value) => this.page.label(select.field, value)));
    if (this.figure.quantities.length > 1) {
      const { quantities } = this.page;
      fields.push(this.selectField("Show", "show", this.figure.quantities, state.get(this.key("show")), (value) => quantities[value]));
    }
    const focused = document.activeElement?.id; // the control the reader just used must keep the focus
    this.controls.replaceChildren(...fields);
    if (focused && this.controls.querySelector(`#${CSS.escape(focused)}`)) document.getElementById(focused).focus();
  }

  selectField(label, field, values, chosen, text) {
    const id = `${this.figure.name}-${field}`;
    const options = values.map((value) => element("option", { value, selected: String(value) === chosen }, text(value)));
    const select = element("select", { id, onchange: (event) => state.set(this.key(field), event.target.value) }, ...options);
    return element("label", { for: id }, element("span", {}, label), select);
  }

  drawLegend(rows, hidden) {
    const present = new Set(rows.map((row) => row[this.figure.series]));
    const entries = this.page.palettes[this.figure.series].filter((series) => present.has(series.value));
    const focused = this.legend.contains(document.activeElement) ? document.activeElement.dataset.value : null;
    const buttons = entries.map((series) => {
      const value = String(series.value);
      const onclick = () => state.toggle(this.key("hide"), value);
      const pressed = String(!hidden.has(value));
      return element("button", { type: "button", "aria-pressed": pressed, "data-value": value, title: "Show or hide", onclick }, symbol(series), series.label);
    });
    this.legend.replaceChildren(...buttons);
    if (focused !== null) buttons.find((button) => button.dataset.value === focused)?.focus();
  }

  drawTwin(rows) {
    const { columns, name, title } = this.figure;
    this.twin.querySelector("summary").textContent = `Table of the ${rows.length} points drawn`;
    this.twin.querySelector(".table").replaceChildren(dataTable(rows, columns, this.page.labels, title));
    this.root.querySelector(".download").onclick = () => download(`${this.page.study}-${name}.csv`, toCsv(rows, columns));
  }
}
