// Panels: the small multiples of a figure, one Vega view each, on shared axes.

class Panels {
  constructor(figure, page, root) {
    Object.assign(this, { figure, page, root, views: [], turn: 0 });
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
    const end = stretched ? 2 * most - lowest : highest;
    const near = rows.filter((row) => row[view.y] <= end);
    const reach = (row) => (view.error ? 1.96 * (row[view.error] ?? 0) : 0);
    const lows = near.map((row) => row[view.y] - reach(row));
    const highs = near.map((row) => row[view.y] + reach(row));
    const zero = view.zero ? [0] : []; // a change is read against no change
    const pad = (values, share) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return [low - (high - low || 1) * share, high + (high - low || 1) * share];
    };
    const [x_min, x_max] = pad(xs, 0.05);
    const [y_min, y_max] = pad([...lows, ...highs, ...zero], 0.05);
    return { params: { x_min, x_max, y_min, y_max }, outside: rows.length - near.length };
  }

  // At most so many rows, evenly spread.
  thin(rows) {
    const most = this.figure.mostMarks ?? rows.length;
    if (rows.length <= most) return rows;
    return Array.from({ length: most }, (_, mark) => rows[Math.floor((mark * rows.length) / most)]);
  }

  // Returns how many points lie outside the vertical axis.
  async draw(view, rows) {
    const turn = ++this.turn;
    const { fresh, jobs, outside } = this.arrange(view, rows);
    if (!rows.length) fresh.append(element("p", { class: "empty" }, "No point of the study fits this choice."));
    const old = this.views;
    const height = this.root.offsetHeight;
    if (height) this.root.style.minHeight = `${height}px`; // so that the page does not jump while charts are replaced
    this.root.replaceChildren(fresh);
    this.views = [];
    old.forEach((result) => result.finalize());
    // Vega warns where no row of a panel has an interval, which is nothing to warn of: errors only.
    const options = { actions: false, renderer: "svg", config: this.page.theme, logLevel: 1 };
    const results = await Promise.all(jobs.map(([chart, spec]) => vegaEmbed(chart, spec, options)));
    this.root.style.minHeight = "";
    if (turn === this.turn) this.views = results;
    else results.forEach((result) => result.finalize());
    return outside;
  }

  // The elements of all panels, and what is to be drawn into each.
  arrange(view, rows) {
    const fresh = element("div", { class: "groups" });
    const jobs = [];
    let outside = 0;
    const [outer, inner] = this.figure.panels.length === 2 ? this.figure.panels : [null, this.figure.panels[0] ?? null];
    for (const [group, groupRows] of this.split(rows, outer)) {
      const ends = this.domains(view, groupRows, rows);
      outside += ends.outside;
      const panels = this.split(groupRows, inner);
      const columns = panels.length === 4 ? 2 : Math.min(panels.length, 3);
      const grid = element("div", { class: inner ? "grid" : "grid single", style: `--columns: ${columns}` });
      for (const [name, panelRows] of panels) {
        const chart = element("div", { class: this.figure.bars ? "chart low" : "chart" });
        const title = inner ? element("h4", {}, this.page.label(inner, name)) : null;
        grid.append(element("div", { class: "panel" }, title, chart));
        const label = [this.figure.title, group && this.page.label(outer, group), name && this.page.label(inner, name)];
        jobs.push([chart, this.specification(view, this.thin(panelRows), ends, label.filter(Boolean).join(", "))]);
      }
      fresh.append(...(outer ? [element("h4", { class: "group" }, this.page.label(outer, group))] : []), grid);
    }
    return { fresh, jobs, outside };
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
    for (const unit of spec.layer ?? [spec]) {
      if (unit.mark.type === "rule") unit.mark.aria = false; // intervals stand in the table; an empty group would have no name
      for (const [channel, encoding] of Object.entries(unit.encoding)) {
        if (typeof encoding.title === "string") encoding.title = this.page.tasks.words(encoding.title, view.metric);
        if (channel !== "color" && channel !== "shape") continue;
        encoding.scale = {
          domain: palette.map((series) => series.value),
          range: palette.map((series) => (channel === "color" ? `var(${series.variable})` : series.shape)),
        };
      }
    }
    return spec;
  }
}
