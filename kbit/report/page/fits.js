// The table of fits: a filter for each column that selects, rows in the order of fits.parquet.

class FitTable {
  static filters = ["fit", "family", "metric", "bit_accounting", "data_type"];

  constructor(page) {
    this.page = page;
    this.root = document.getElementById("fits");
    this.controls = this.root.querySelector(".controls");
    this.table = this.root.querySelector(".table");
    // A study has thousands of fitted quantities: the headline verdicts come first.
    const first = { fit: "verdict", data_type: "best" };
    for (const column of FitTable.filters) state.defaults.set(`fits.${column}`, first[column] ?? "");
    this.root.querySelector(".download").onclick = () => download(`${page.study.name}-fits.csv`, toCsv(this.rows(), this.columns()));
  }

  columns() {
    return this.page.fitColumns;
  }

  // Filters apply one after the other; each offers what the ones before it leave, and one that would leave nothing is off.
  narrow() {
    let rows = this.page.tables.fits;
    return FitTable.filters.map((column) => {
      const values = [...new Set(rows.map((row) => row[column]))].sort();
      const wanted = state.get(`fits.${column}`);
      const chosen = values.includes(wanted) ? wanted : "";
      if (chosen) rows = rows.filter((row) => row[column] === chosen);
      return { column, values, chosen, rows };
    });
  }

  rows() {
    return this.narrow().at(-1).rows;
  }

  draw() {
    replaceControls(this.controls, ...this.narrow().map((step) => this.select(step)));
    const rows = this.rows();
    const { columns, common } = this.divide(rows);
    this.table.replaceChildren(dataTable(rows, columns, this.page.labels, [`${rows.length} fitted quantities`, ...common].join(" · ")));
  }

  // Columns that differ among the rows are shown; what is the same in all stands once, above the table.
  divide(rows) {
    const isConstant = (column) => rows.length > 1 && rows.every((row) => row[column] === rows[0][column]);
    const constant = this.columns().filter(isConstant);
    const told = constant.filter((column) => rows[0][column] !== null && rows[0][column] !== "");
    const common = told.map((column) => `${this.page.labels[column] ?? column}: ${formatValue(rows[0][column])}`);
    return { columns: this.columns().filter((column) => !constant.includes(column)), common };
  }

  select({ column, values, chosen }) {
    const label = this.page.labels[column] ?? column;
    const choose = (value) => state.set(`fits.${column}`, value);
    return selectField(`fits-${column}`, label, ["", ...values.filter(Boolean)], chosen, choose, (value) => value || "any");
  }
}
