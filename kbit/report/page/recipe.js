// How one cell is looked at again, and evaluated anew: commands and a study of that cell alone.

// In single quotes, as a POSIX shell takes any text.
function shellQuote(text) {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A study of one cell: the same weights, spec, task and dtype give the same cell id, on any machine.
function recipeYaml(page, cell) {
  const limit = cell.item_limit === null ? "" : `item_limit: ${cell.item_limit}\n`;
  const task = `{name: ${JSON.stringify(cell.task)}${cell.divergence ? ", divergence: true" : ""}}`;
  const head = `name: one-cell\ntitle: "One cell"\n${page.study.yaml}models: [${JSON.stringify(cell.model)}]\ntasks: [${task}]\n`;
  const grid = page.recipes[cell.point];
  return `${head}${limit}baseline: ${grid ? "false" : "true"}\n${grid}`;
}

function recipeCommands(page, cell) {
  const [name, control] = [cell.spec, "none16"].map((spec) => shellQuote(`${cell.model}/${spec}/${cell.task}`));
  const study = shellQuote(page.study.file);
  const row = `"select * from cells where cell_id like '${cell.id}%'"`;
  const lines = [["Its whole row, with all metrics", `kbit query --json --study ${study} ${row}`]];
  if (!page.study.yaml || cell.source === "published") return lines; // what others measured is not evaluated here
  if (cell.value !== null && cell.data_type !== "none")
    lines.push(["Compare it with 16 bits, paired by item", `kbit compare ${study} ${control} ${name}`]);
  const folder = page.study.file.replace(/[^/]*$/, "");
  lines.push([
    `Evaluate it anew: save this as ${folder}one-cell.yaml in a fresh checkout${cell.commit ? ` of commit ${cell.commit}` : ""} and run it`,
    recipeYaml(page, cell),
  ]);
  lines.push(["", `kbit run ${shellQuote(`${folder}one-cell.yaml`)}`]);
  return lines;
}
