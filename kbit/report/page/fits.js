// The table of fits: a filter for each column that selects, rows in the order of fits.parquet.

class FitTable {
  static filters = ["fit", "family", "metric", "bit_accounting", "data_type"];
  static most = 300;

  constructor(page) {
    this.page = page;
    this.root = document.getElementById("fits");
    this.controls = this.root.querySelector(".controls");
    this.table = this.root.querySelector(".table");
    for (const column of FitTable.filters) state.defaults.set(`fits.${column}`, "");
    const first = this.values("fit")[0] ?? "";
    state.defaults.set("fits.fit", first);
    this.root.querySelector(".download").onclick = () => download(`${page.study}-fits.csv`, toCsv(this.rows(), this.columns()));
  }

  columns() {
    return this.page.fitColumns;
  }

  values(column) {
    return [...new Set(this.page.tables.fits.map((row) => row[column]))].sort();
  }

  rows() {
    const wanted = FitTable.filters.map((column) => [column, state.get(`fits.${column}`)]).filter(([, value]) => value);
    return this.page.tables.fits.filter((row) => wanted.every(([column, value]) => row[column] === value));
  }

  draw() {
    const focused = document.activeElement?.id;
    this.controls.replaceChildren(...FitTable.filters.map((column) => this.select(column)));
    if (focused && this.controls.querySelector(`#${CSS.escape(focused)}`)) document.getElementById(focused).focus();
    const rows = this.rows();
    const shown = rows.slice(0, FitTable.most);
    const count = shown.length < rows.length ? `The first ${shown.length} of ${rows.length} fitted quantities; the CSV has all.` : `${rows.length} fitted quantities`;
    const constant = (column) => rows.every((row) => row[column] === rows[0][column]);
    const filtered = FitTable.filters.filter((column) => state.get(`fits.${column}`));
    const columns = this.columns().filter((column) => !(filtered.includes(column) && constant(column)) && !rows.every((row) => row[column] === null || row[column] === ""));
    this.table.replaceChildren(dataTable(shown, columns, this.page.labels, count));
  }

  select(column) {
    const id = `fits-${column}`;
    const chosen = state.get(`fits.${column}`);
    const options = ["", ...this.values(column)].map((value) => element("option", { value, selected: value === chosen }, value || "all"));
    const select = element("select", { id, onchange: (event) => state.set(`fits.${column}`, event.target.value) }, ...options);
    return element("label", { for: id }, element("span", {}, this.page.labels[column] ?? column), select);
  }
}
