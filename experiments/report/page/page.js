"use strict";
// The page contains the tables of numbers. This script sorts them; in a report it also draws gallery and pictures.
const find = (id) => document.getElementById(id);
const data = JSON.parse(find("data")?.textContent ?? "null"); // null: a page without a gallery
const METRICS = { acc: "ACC", miou: "mIoU", segments: "segments", mixed: "mixed (bits)", split: "split (bits)" };
const fixed = (value, decimals = 1) => (Number.isFinite(value) ? value.toFixed(decimals) : "–");
const protocol = () => document.querySelector("#protocol :checked").value;
let columns = data?.columns; // numbers of the rows that are compared
let shown = []; // pictures of the gallery, in its order
let large = [0, 0]; // numbers of the enlarged picture and tile

/** An element with attributes, listeners (on...) and children. Text stays text: nothing is parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A score of a picture in a row: a key of METRICS, or "voi"; NaN if it has none. */
function score(picture, row, metric) {
  const result = picture.scores[row];
  const own = { acc: 0, miou: 1 }[metric];
  if (metric === "voi") return score(picture, row, "mixed") + score(picture, row, "split");
  return (own === undefined ? result?.[metric] : result?.protocols?.[protocol()]?.[own]) ?? NaN;
}

const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

/** The text below a row's tile. */
function caption(picture, row) {
  const result = picture.scores[row];
  if (result === null || typeof result === "string") return result ?? "not evaluated";
  const own = (metric, decimals) => fixed(score(picture, row, metric), decimals);
  const voi = `VoI ${own("voi", 2)} = ${own("mixed", 2)} mixed + ${own("split", 2)} split`;
  return `ACC ${own("acc")} · mIoU ${own("miou")}\n${counted(result.segments, "segment", "segments")}\n${voi}`;
}

/** Tiles of a picture: name, text below, and the layer over the photograph, if any. */
function tilesOf(picture) {
  return [
    { name: "Input", text: picture.id },
    { name: "Ground truth", text: counted(picture.classes.length, "class", "classes"), layer: picture.truth },
    ...columns.map((row) => ({
      name: data.rows[row],
      text: caption(picture, row),
      layer: picture.labels[row],
      missing: !(row in picture.labels),
    })),
  ];
}

function stack(picture, { name, layer, missing }) {
  const style = `--shape:${picture.shape}`;
  if (missing) return make("span", { class: "stack missing", style }, "no label map here");
  const layers = [make("img", { src: picture.photo, alt: layer ? "" : `${picture.id}, input` })];
  if (layer) layers.push(make("img", { src: layer, alt: `${picture.id}, ${name}`, class: "layer" }));
  return make("span", { class: "stack", style }, ...layers);
}

function figure(tile, content) {
  return make("figure", {}, content, make("figcaption", {}, make("b", {}, tile.name), make("span", {}, tile.text)));
}

function article(picture, place) {
  const tiles = tilesOf(picture).map((tile, index) => {
    const open = () => enlarge(place, index);
    const label = `Enlarge ${tile.name} of ${picture.id}`;
    return figure(tile, make("button", { type: "button", "aria-label": label, onclick: open }, stack(picture, tile)));
  });
  const legend = make("div", { class: "legend" }, ...chips(picture.classes));
  return make("article", {}, make("h3", {}, picture.id), make("div", { class: "row" }, ...tiles), legend);
}

const swatch = (colour) => make("i", { class: "swatch", style: `background:${colour}` });
const chips = (classes) => classes.map(([name, colour]) => make("span", { class: "chip" }, swatch(colour), name));

/** The number by which the gallery sorts a picture: a score, or its place in the data set if sorted by name. */
function sortValue(picture) {
  const metric = find("sort").value;
  if (metric === "name") return data.pictures.indexOf(picture);
  if (find("of").value !== "spread") return score(picture, find("of").value, metric);
  const values = columns.map((row) => score(picture, row, metric)).filter(Number.isFinite);
  return Math.max(...values) - Math.min(...values);
}

function drawGallery() {
  const order = Number(find("order").value);
  const chosen = find("class").value;
  shown = data.pictures
    .filter((picture) => picture.photo && (!chosen || picture.classes.some(([name]) => name === chosen)))
    .map((picture) => [picture, sortValue(picture)])
    .sort(([, a], [, b]) => compare(a, b, order))
    .map(([picture]) => picture);
  find("tiles").replaceChildren(...shown.map(article));
  find("count").textContent = `${shown.length} of ${data.pictures.length} pictures${data.chosen}`;
}

/** The table of pictures: a column for each metric of each row. */
function drawScores() {
  const shows = columns.flatMap((row) => Object.keys(METRICS).map((metric) => [row, metric]));
  const heading = (text, column, kind) =>
    make("th", { scope: "col", "data-column": column, class: kind }, make("button", { type: "button" }, text));
  const span = Object.keys(METRICS).length;
  const names = columns.map((row) => make("th", { colspan: span, scope: "colgroup" }, data.rows[row]));
  const heads = shows.map(([, metric], index) => heading(METRICS[metric], index + 1, "number"));
  const body = data.pictures.map((picture) => {
    const cells = shows.map(([row, metric]) => {
      const value = score(picture, row, metric);
      const text = fixed(value, { segments: 0, mixed: 2, split: 2 }[metric] ?? 1);
      return make("td", { class: "number", "data-value": Number.isFinite(value) ? value : "", title: caption(picture, row) }, text);
    });
    return make("tr", {}, make("th", { scope: "row" }, picture.id), ...cells);
  });
  const head = make("thead", {}, make("tr", {}, make("td"), ...names), make("tr", {}, heading("Picture", 0, ""), ...heads));
  find("scores").replaceChildren(head, make("tbody", {}, ...body));
}

/** Draws a drop-down for each compared row. The last one cannot be removed. */
function drawColumns() {
  const selects = columns.map((chosen, place) => {
    const options = data.rows.map((name, row) => make("option", { value: row }, name));
    if (columns.length > 1) options.push(make("option", { value: "" }, "(remove)"));
    const select = make("select", { "aria-label": `Row ${place + 1}` }, ...options);
    select.value = chosen;
    select.addEventListener("change", () => {
      columns.splice(place, 1, ...(select.value === "" ? [] : [Number(select.value)]));
      drawAll();
      find("columns").querySelectorAll("select")[Math.min(place, columns.length - 1)].focus();
    });
    return select;
  });
  find("columns").replaceChildren(...selects);
}

function drawAll() {
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== protocol();
  for (const name of document.querySelectorAll("b.protocol")) name.textContent = protocol();
  drawColumns();
  drawGallery();
  drawScores();
}

/** Enlarges a tile. The arrow keys then flip through tiles and pictures. */
function enlarge(place, index) {
  large = [(place + shown.length) % shown.length, (index + columns.length + 2) % (columns.length + 2)];
  const picture = shown[large[0]];
  const tile = tilesOf(picture)[large[1]];
  const title = make("h3", {}, picture.id);
  find("large").firstElementChild.replaceChildren(title, figure(tile, stack(picture, tile)));
  if (!find("large").open) find("large").showModal();
}

const flip = (pictures, tiles) => enlarge(large[0] + pictures, large[1] + tiles);

/** Compares numbers by value and other cells as text. Missing values come last in either order. */
function compare(a, b, order) {
  const missing = (value) => value === "" || Number.isNaN(value);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (Number.isFinite(Number(a)) && Number.isFinite(Number(b))) return order * (a - b);
  return order * String(a).localeCompare(String(b), undefined, { numeric: true });
}

/** Sorts a table by the clicked heading: first from the highest number or from A, after another click the other way. */
function sortTable(head) {
  const rows = [...head.closest("table").tBodies[0].rows];
  const first = head.classList.contains("number") ? "descending" : "ascending";
  const turned = first === "ascending" ? "descending" : "ascending";
  const direction = head.getAttribute("aria-sort") === first ? turned : first;
  const value = ({ cells: { [head.dataset.column]: cell } }) => cell.dataset.value ?? cell.textContent.trim();
  rows.sort((a, b) => compare(value(a), value(b), direction === "ascending" ? 1 : -1));
  for (const other of head.closest("thead").querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  head.closest("table").tBodies[0].append(...rows);
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("th[data-column]");
  if (head) sortTable(head);
  if (event.target.dataset.step) flip(0, Number(event.target.dataset.step));
  if ("close" in event.target.dataset) find("large").close();
});
if (data) {
  find("large").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault(); // keeps the page from scrolling
    flip(...step);
  });
  find("protocol").addEventListener("change", drawAll);
  find("add").addEventListener("click", () => {
    columns.push(Math.max(0, data.rows.findIndex((_, row) => !columns.includes(row))));
    drawAll();
  });
  for (const id of ["sort", "of", "order", "class"]) find(id).addEventListener("change", drawGallery);
  find("opacity").addEventListener("input", (event) => document.body.style.setProperty("--opacity", event.target.value));
  const classNames = new Set(data.pictures.flatMap((picture) => (picture.classes ?? []).map(([name]) => name)));
  find("class").append(...[...classNames].sort().map((name) => make("option", { value: name }, name)));
  find("of").value = data.columns.at(-1);
  drawAll();
}
