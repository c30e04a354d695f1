// Notes: one line below a figure, computed from the rows it draws.

function pearson(x, y) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) ** 2;
    yy += (y[i] - my) ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}

// Ranks from 1, ties share their mean rank.
function ranks(values) {
  const order = values.map((_, index) => index).sort((a, b) => values[a] - values[b]);
  const result = new Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end + 1 < order.length && values[order[end + 1]] === values[order[start]]) end++;
    for (let i = start; i <= end; i++) result[order[i]] = (start + end) / 2 + 1;
    start = end + 1;
  }
  return result;
}

const NOTES = {
  correlation(rows) {
    if (rows.length < 3) return "Too few points for a correlation.";
    const [loss, accuracy] = ["loss", "accuracy"].map((column) => rows.map((row) => row[column]));
    const r = formatValue(Number(pearson(loss, accuracy).toFixed(3)));
    const rho = formatValue(Number(pearson(ranks(loss), ranks(accuracy)).toFixed(3)));
    const models = new Set(rows.map((row) => row.model)).size;
    return `Of these ${rows.length} points (${models} models): Pearson r = ${r}, Spearman ρ = ${rho}.`;
  },
};
