"use strict";
// Without this script all tables stand below each other, in their order: nothing is missing.
const scope = document.getElementById("scope");
const sections = [...document.querySelectorAll("section[data-scope]")];
const boxes = [...document.querySelectorAll("input[name=kind]")];

function show() {
  const kinds = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  for (const section of sections) {
    section.hidden = section.dataset.scope !== scope.value;
    for (const row of section.querySelectorAll("tbody tr")) row.hidden = !kinds.has(row.dataset.kind);
    for (const line of section.querySelectorAll("svg.chart g")) {
      line.style.display = kinds.has(line.dataset.kind) ? "" : "none";
    }
  }
  history.replaceState(null, "", "#" + encodeURIComponent(scope.value));
}

function value(row, column) {
  const cell = row.cells[column];
  if (!("value" in cell.dataset)) return cell.textContent.trim().toLowerCase();
  return cell.dataset.value === "" ? null : Number(cell.dataset.value);
}

function sort(head) {
  const table = head.closest("table");
  const column = head.cellIndex;
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((first, second) => {
    const [a, b] = [value(first, column), value(second, column)];
    if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last either way
    const order = typeof a === "number" ? a - b : a.localeCompare(b);
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

document.querySelectorAll("th button").forEach((button) => {
  button.addEventListener("click", () => sort(button.closest("th")));
});
scope.addEventListener("change", show);
boxes.forEach((box) => box.addEventListener("change", show));
const asked = location.hash.slice(1);
const meant = [...scope.options].find((option) => encodeURIComponent(option.value) === asked || option.value === asked);
if (meant) scope.value = meant.value;
show();
