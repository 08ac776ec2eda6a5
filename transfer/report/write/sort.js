// Columns sort by a click on their title: within each group of rows, so that measured figures stay apart from
// published ones. A second click turns the order round; a third restores the report's own.
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
      const next = { none: "descending", descending: "ascending", ascending: "none" }[title.ariaSort ?? "none"];
      titles.forEach((other) => { other.ariaSort = null; });
      if (next !== "none") title.ariaSort = next;
      for (const { body, rows } of bodies) body.append(...ordered(rows, column, next, title.classList.contains("num")));
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
    : (a, b) => sign * key(a).localeCompare(key(b));
  return [...heading, ...others.sort(compare)];
}
function number(text) {
  const found = text.replace(/−/g, "-").match(/[+-]?\d+(\.\d+)?/);
  return found ? parseFloat(found[0]) : NaN;
}
function compareNumbers(a, b, sign) {
  if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // what has no figure stays last
  return sign * (a - b);
}
