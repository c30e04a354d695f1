// Tasks: the rows of charts by one task's own scores, instead of the mean over the study's tasks.

const METRIC_OF = { "zero-shot": "accuracy", perplexity: "loss" };

class TaskScores {
  constructor(page) {
    this.page = page;
    this.list = page.tables.tasks;
    this.cells = page.cells;
    this.derived = new Map();
    state.defaults.set("task", "");
  }

  // Of a kind with a single task the mean is that task.
  offered() {
    const isLoss = (task) => task.kind !== "perplexity" || task.metric === "nats_per_byte";
    return this.list.filter((task) => isLoss(task) && this.list.filter((other) => other.kind === task.kind).length > 1);
  }

  chosen() {
    return this.offered().find((task) => task.task === state.get("task")) ?? null;
  }

  // A task has one metric; choosing it turns the switch to that metric.
  choose(name) {
    const task = this.offered().find((each) => each.task === name);
    state.setAll({ task: name, ...(task ? { metric: METRIC_OF[task.kind] } : {}) });
  }

  // The chosen task, where it is of this metric.
  of(metric) {
    const task = this.chosen();
    return task && METRIC_OF[task.kind] === metric ? task : null;
  }

  rows(metric) {
    const task = this.of(metric);
    if (!task) return this.page.tables.points;
    if (!this.derived.has(task.task)) this.derived.set(task.task, this.derive(task, metric));
    return this.derived.get(task.task);
  }

  derive(task, metric) {
    const number = this.list.indexOf(task);
    const { point, task: ofTask, value, stderr } = this.cells;
    const rows = this.page.tables.points.map((row) => ({
      ...row, [metric]: null, [`${metric}_stderr`]: null, n_tasks: 1, fitted_total_bits: null, fitted_body_bits: null,
    }));
    ofTask.forEach((each, cell) => {
      if (each === number) Object.assign(rows[point[cell]], { [metric]: value[cell], [`${metric}_stderr`]: stderr[cell] });
    });
    const control = new Map(rows.filter((row) => row.data_type === "none").map((row) => [row.model, row[metric]]));
    for (const row of rows) {
      const other = control.get(row.model) ?? null;
      row[`${metric}_change`] = row[metric] === null || other === null ? null : row[metric] - other;
    }
    return rows;
  }

  // The same text about one task: captions, axis titles, heads of tables.
  words(text, metric) {
    const task = this.of(metric);
    if (!task) return text;
    const wanted =
      metric === "accuracy"
        ? [[this.page.metrics.accuracy, `accuracy on ${task.label}`], ["accuracy minus", `accuracy on ${task.label} minus`]]
        : [[this.page.metrics.loss, `loss on ${task.label}, nats per byte`], ["loss above", `loss on ${task.label} above`]];
    return wanted.reduce((result, [from, to]) => result.replaceAll(from, to), text);
  }
}
