// Data: gzip + base64 columns -> rows. No library; DecompressionStream is the browser's own.

async function readPayload(element) {
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// {n, columns: {name: values | {dictionary, codes}}} -> {name: values}
function toColumns(encoded) {
  const decode = (column) => (Array.isArray(column) ? column : column.codes.map((code) => (code === null ? null : column.dictionary[code])));
  return Object.fromEntries(Object.entries(encoded.columns).map(([name, column]) => [name, decode(column)]));
}

// The same as [{name: value}].
function toRows(encoded) {
  const columns = Object.entries(toColumns(encoded));
  return Array.from({ length: encoded.n }, (_, row) => {
    const result = {};
    for (const [name, values] of columns) result[name] = values[row];
    return result;
  });
}
