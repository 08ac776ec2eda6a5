// Columns sort by a click on their title: within each group of rows, so that measured figures stay apart from
// published ones, figures from the highest and names from A on. A second click turns the order round; a third restores
// the report's own.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const bodies = [...table.tBodies].map((body) => ({ body, rows: [...body.rows] }));
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => {
      const numeric = title.classList.contains("num");
      const turns = ["none", ...(numeric ? ["descending", "ascending"] : ["ascending", "descending"])];
      const next = turns[(turns.indexOf(title.ariaSort ?? "none") + 1) % turns.length];
      titles.forEach((other) => { other.ariaSort = null; });
      if (next !== "none") title.ariaSort = next;
      for (const { body, rows } of bodies) body.append(...ordered(rows, column, next, numeric));
    });
  });
}
function ordered(rows, column, order, numeric) {
  if (order === "none") return rows;
  const heading = rows.filter((row) => row.classList.contains("group"));
  const others = rows.filter((row) => !row.classList.contains("group"));
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => row.cells[column].textContent.trim();
  const compare = numeric
    ? (a, b) => compareNumbers(number(key(a)), number(key(b)), sign)
    : (a, b) => sign * key(a).localeCompare(key(b), undefined, { numeric: true });
  return [...heading, ...others.sort(compare)];
}
function number(text) {
  const plain = text.replace(/−/g, "-").replace(/\u202f/g, "");
  const times = [...plain.matchAll(/(\d+) (h|min|s)\b/g)];
  if (times.length) return times.reduce((sum, [, count, unit]) => sum + count * { h: 3600, min: 60, s: 1 }[unit], 0);
  const found = plain.startsWith("n <") ? null : plain.match(/[+-]?\d+(\.\d+)?(e[+-]?\d+)?/);
  return found ? parseFloat(found[0]) * (plain.startsWith("<") ? 0.999 : 1) : NaN;
}
function compareNumbers(a, b, sign) {
  if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // what has no figure stays last
  return sign * (a - b);
}
