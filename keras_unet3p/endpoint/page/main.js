/** The page: one image at a time with its mask, and the list of all. */

import {ImageList} from "./list.js";
import {Layer, paintDifferences} from "./layers.js";
import {OBJECT_COLUMNS, csv, objectCells} from "./masks.js";
import {className, showClasses, showComparison, showDifferenceColors, showObjects} from "./panel.js";
import {writePng} from "./png.js";
import {Models, keyOf, probabilities, titleOf} from "./server.js";
import {Work, layerOf, partOf} from "./work.js";
import {zip} from "./zip.js";

const $ = id => document.getElementById(id);
// A request for the probabilities as numbers in JSON is slow, one for them as PNG is not.
const MOST_NUMBERS = 700000, MOST_UNASKED = 4000000;
// Of larger images the overlay is drawn when a slider rests for so many milliseconds.
const DRAWN_AT_ONCE = 2000000, DRAWN_AFTER = 60;
const NAMES = /\.(png|jpe?g|tiff?|npy|bmp|gif|webp|avif)$/i;
const MASK_NOTES = ["The mask is an 8-bit PNG of class ids, so it looks black.",
                    "The mask is a 16-bit PNG of the objects' numbers."];

const models = new Models();
const choices = new Map();  // by key
const work = new Work(models, chosenModels, changed);
const list = new ImageList($("list"), entry => select(entry), remove);
// What is on the screen. `turn` tells whether something else was chosen while an answer was awaited.
const view = {turn: 0, entry: null, page: 0, picture: null, part: null, first: null, second: null, levels: null,
              served: null, moved: false, offered: null, compared: null};

function chosenModels() {
  return {first: choices.get($("model").value) || {name: ""}, second: choices.get($("against").value) || null};
}

const chosen = id => $(id).querySelector("[aria-pressed=true]").dataset.value;

function press(id, value) {
  for (const button of $(id).children) button.setAttribute("aria-pressed", button.dataset.value === value);
}

function say(text, bad = false) {
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").className = bad ? "bad" : "";
}

// ---------------------------------------------------------------- the list

function open(files) {
  if (!files.length) return;
  const added = work.add(files);
  list.set(work.entries);
  select(added[0]);
  showProgress();
  work.run();
}

function remove(entry) {
  const at = work.entries.indexOf(entry);
  work.remove(entry);
  list.set(work.entries);
  if (entry === view.entry) select(work.entries[Math.min(at, work.entries.length - 1)] || null);
  showProgress();
}

/** Called by the queue for every change of an image's state. */
function changed(entry, page) {
  list.update(entry);
  showProgress();
  if (entry === view.entry && page === view.page) showState();
}

function showProgress() {
  const {all, finished, failed} = work.counts(), done = work.done();
  $("files").hidden = work.entries.length < 2;
  $("progress").max = Math.max(all, 1);
  $("progress").value = finished;
  $("progress").hidden = finished === all;
  $("progress-note").textContent = `${finished} of ${all} done` + (failed ? `, ${failed} with an error` : "");
  $("save-all-masks").hidden = $("save-all-tables").hidden = done.length < 2;
  layout();
}

async function select(entry, page = entry?.page ?? 0) {
  if (!entry) return clearView();
  await keepMoved();
  view.turn++;
  Object.assign(view, {entry, page, picture: null, part: null, first: null, second: null, levels: null,
                       served: null, moved: false, offered: null, compared: null});
  work.current = entry;
  entry.page = page;
  entry.wanted.add(page);
  list.choose(entry);
  list.update(entry);
  blank();
  $("details").textContent = entry.name;
  $("pages").hidden = entry.pages < 2;
  showState();
  showProgress();
  work.run();
}

function clearView() {
  view.turn++;
  Object.assign(view, {entry: null, picture: null, part: null, first: null, second: null, levels: null, moved: false});
  work.current = null;
  blank();
  $("picture").style.display = "none";
  $("hint").style.display = "";
  $("details").textContent = "\u00a0";
  $("pages").hidden = $("retry").hidden = true;
  $("busy").className = "";
  say("");
}

function blank() {
  $("save-mask").disabled = $("save-overlay").disabled = $("threshold").disabled = true;
  $("objects").hidden = $("save-table").hidden = $("comparison").hidden = true;
  $("load-probabilities").hidden = $("mark").hidden = $("divide").hidden = true;
  $("legend").replaceChildren();
  $("threshold-note").textContent = $("threshold-value").textContent = "";
  $("overlay").getContext("2d").clearRect(0, 0, $("overlay").width, $("overlay").height);
}

/** Brings the view up to what is known of the image that is chosen. */
async function showState() {
  const {entry, page, turn} = view, result = entry.result(page);
  $("busy").className = result.state === "running" ? "on" : "";
  $("retry").hidden = !work.stopped && result.state !== "error";
  if (result.state === "error") say(result.error, true);
  else if (result.state === "waiting") say(work.stopped ? "Waiting for the server." : "Waiting …");
  else if (result.state === "running") say(result.first ? "Comparing …" : "Segmenting …");
  try {
    if (!view.picture) {
      const picture = await work.picture(entry, page);
      if (turn !== view.turn) return;
      if (!view.picture) showPicture(picture);
    }
    if (result.state === "done" && work.isFresh(result)) await showResult(turn, result);
  } catch (error) {
    if (turn !== view.turn) return;
    say(error.message, true);
    if (!view.picture) $("picture").style.display = "none";
  }
}

function showPicture(picture) {
  const {width, height, pages, stored, stretched} = picture, {entry, page} = view;
  view.picture = picture;
  for (const canvas of [$("image"), $("overlay")]) {
    canvas.width = width;
    canvas.height = height;
  }
  $("image").getContext("2d").drawImage(picture.bitmap, 0, 0);
  $("image").setAttribute("aria-label", entry.name);
  $("hint").style.display = "none";
  $("picture").style.display = "block";
  $("details").textContent = `${entry.name}, ${width} × ${height}`
    + (stretched ? `, ${stored}, its contrast stretched for the screen` : "");
  entry.pages = pages;
  $("pages").hidden = pages < 2;
  $("page").max = pages;
  $("page").value = page + 1;
  $("page-count").textContent = "of " + pages;
  $("page-before").disabled = page === 0;
  $("page-next").disabled = page + 1 >= pages;
  layout();
}

async function showResult(turn, result) {
  const {first, second} = result;
  if (view.part !== first) {
    const layer = await layerOf(first);
    if (turn !== view.turn) return;
    Object.assign(view, {part: first, first: layer, served: layer.ids, levels: null, moved: false});
  }
  const other = second ? await layerOf(second) : null;
  if (turn !== view.turn || result.state !== "done") return;
  view.second = other;
  delete first.ids;  // the layers hold them
  if (second) delete second.ids;
  $("mask-note").textContent = MASK_NOTES[+first.numbered];
  $("save-mask").disabled = $("save-overlay").disabled = false;
  showFigures();
  draw();
  const {seconds, model} = first;
  say(`Segmented in ${seconds.toFixed(seconds < 10 ? 2 : 0)} s by version ${model.version}`);
  if (view.offered === first) return;
  view.offered = first;
  await offerThreshold(turn);
}

function showFigures() {
  const {part, second, entry, page} = view, result = entry.result(page), {comparison} = result;
  const layer = second ? chosen("layer") : "first";
  const shown = layer === "second" ? result.second : part;
  const both = Boolean(second && part.numbered && result.second.numbered), titles = names();
  $("objects").hidden = !shown.rows;
  $("save-table").hidden = !part.rows?.length;
  if (shown.rows) showObjects(shown.rows);
  $("legend").replaceChildren();
  if (second && layer === "differences") showDifferenceColors(titles, both);
  else if (!shown.rows) showClasses(shown);
  $("comparison").hidden = !second;
  if (!second) return;
  if (view.compared !== comparison) showComparison(comparison, titles, both, point);
  view.compared = comparison;
  $("save-differences").hidden = !both || !(comparison.first.length + comparison.second.length);
}

function names() {
  const {first, second} = chosenModels();
  if (!second || first.name !== second.name) return [titleOf(first), second && titleOf(second)];
  const short = choice => choice.label || "version " + (choice.version || models.of(choice)?.version);
  return [short(first), short(second)];
}

// ---------------------------------------------------------------- the threshold

async function offerThreshold(turn) {
  const {picture, part} = view, note = text => { $("threshold-note").textContent = text; };
  const {signatures, num_classes, pixel_type, channels} = part.model;
  if (part.numbered) return note("Objects follow the rule that the model was exported with.");
  if (!signatures.includes("probabilities")) return note("This model gives no probabilities.");
  if (num_classes > 1) return note("With several classes the most probable one wins.");
  const size = picture.width * picture.height;
  if (signatures.includes("probabilities_of_bytes") && picture.blob) {
    if (size <= MOST_UNASKED) return loadProbabilities(turn);
    $("load-probabilities").hidden = false;
    return note("As exported, until its probabilities are loaded.");
  }
  if (!picture.pixels && (pixel_type !== "uint8" || !picture.greys)) {
    return note("As exported; this model takes no such pixels.");
  }
  if (size > MOST_NUMBERS) {
    return note(`As exported; it can be moved for images of up to ${MOST_NUMBERS / 1e6} megapixels.`);
  }
  if (channels) return loadProbabilities(turn);
}

async function loadProbabilities(turn) {
  const note = text => { $("threshold-note").textContent = text; };
  $("load-probabilities").hidden = true;
  note("Loading probabilities …");
  const levels = await probabilities(models, chosenModels().first, view.picture);
  if (turn !== view.turn) return;
  view.levels = levels;
  // The exported threshold lies between the probabilities of the two sides of the mask.
  let low = 0, high = 1;
  for (let i = 0; i < levels.length; i++) {
    if (view.served[i]) high = Math.min(high, levels[i]);
    else low = Math.max(low, levels[i]);
  }
  const {threshold} = view.part;
  $("threshold").value = threshold ?? (high > low ? Math.round(50 * (low + high)) : 50);
  if (threshold === undefined && low < 0.5 && high >= 0.5) $("threshold").value = 50;
  $("threshold").disabled = false;
  $("threshold-value").textContent = ($("threshold").value / 100).toFixed(2);
  note("");
}

function applyThreshold() {
  if (!view.levels) return;
  // Probabilities of 8 bits lie beside the slider's hundredths.
  const limit = $("threshold").value / 100 - 1e-6, {width, height} = view.picture;
  const ids = Uint8Array.from(view.levels, value => value >= limit ? 1 : 0);
  view.first = new Layer(ids, width, height, false);
  view.moved = true;
  view.part.threshold = +$("threshold").value;
  $("threshold-value").textContent = (view.part.threshold / 100).toFixed(2);
  if (!view.second) showClasses(partOf(view.part, ids));
  draw();
}

/** The mask that is shown, also where its threshold was moved. */
async function shownMask() {
  const {width, height} = view.picture;
  return view.moved ? writePng(view.first.ids, width, height) : view.part.mask;
}

/** Keeps a mask whose threshold was moved, before another image is shown or all are saved. */
async function keepMoved() {
  if (!view.moved) return;
  const {part, first} = view;
  view.moved = false;
  const mask = await writePng(first.ids, part.width, part.height);
  Object.assign(part, {counts: partOf(part, first.ids).counts, mask});
}

// ---------------------------------------------------------------- the picture

let waiting = 0, drawn = 1, kept = null;  // the pixels of the overlay, which are large

function draw() {
  $("opacity-value").textContent = $("opacity").value + " %";
  $("divider-value").textContent = $("divider").value + " %";
  if (!view.first) return;
  const {width, height} = view.picture;
  if (width * height <= DRAWN_AT_ONCE) return drawNow();
  $("overlay").style.opacity = Math.min(1, $("opacity").value / Math.max(drawn, 1));
  clearTimeout(waiting);
  waiting = setTimeout(drawNow, DRAWN_AFTER);
}

function drawNow() {
  const {first, second, picture} = view;
  if (!first || !picture) return;
  const {width, height} = picture, style = chosen("style"), layer = second ? chosen("layer") : "first";
  const context = $("overlay").getContext("2d");
  if (kept?.width !== width || kept.height !== height) kept = context.createImageData(width, height);
  const out = new Uint32Array(kept.data.buffer), alpha = Math.round(255 * $("opacity").value / 100);
  $("divide").hidden = layer !== "divided";
  $("divider-field").hidden = layer !== "divided";
  $("overlay").style.opacity = "";
  if (style === "none") out.fill(0);
  else if (layer === "first") first.paint(out, style, alpha);
  else if (layer === "second") second.paint(out, style, alpha);
  else if (layer === "divided") {
    const column = Math.round(width * $("divider").value / 100);
    $("divide").style.left = 100 * column / width + "%";
    first.paint(out, style, alpha, 0, column);
    second.paint(out, style, alpha, column, width);
  } else paintDifferences(out, first, second, alpha);
  context.putImageData(kept, 0, 0);
  drawn = $("opacity").value;
}

function layout() {
  if (!view.picture) return;
  const {width, height} = view.picture, full = chosen("size") === "full";
  $("stage").classList.toggle("scroll", full);
  full ? $("stage").setAttribute("tabindex", "0") : $("stage").removeAttribute("tabindex");
  const room = $("stage").getBoundingClientRect();
  const scale = full ? 1 : Math.min((room.width - 48) / width, (room.height - 48) / height, 8);
  $("picture").className = scale > 1 ? "enlarged" : "";
  $("image").style.width = width * scale + "px";
  $("image").style.height = height * scale + "px";
}

/** Marks an object of one of the two masks. */
function point({x, y, area}, isSecond) {
  const {width, height} = view.picture, mark = $("mark");
  if (chosen("layer") === (isSecond ? "first" : "second")) choose("layer", "differences");
  const side = 4 * Math.sqrt(area / Math.PI) + width / 60;
  mark.hidden = false;
  Object.assign(mark.style, {left: 100 * (x + 0.5) / width + "%", top: 100 * (y + 0.5) / height + "%",
                             width: 100 * side / width + "%", height: 100 * side / height + "%"});
  mark.scrollIntoView({block: "nearest", inline: "nearest"});
}

function choose(id, value) {
  press(id, value);
  if (id === "size") return layout();
  if (id === "layer" && view.part) showFigures();
  draw();
}

// ---------------------------------------------------------------- files to keep

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The name of a page's results, without folders and the file's type. */
function stem(entry, page) {
  const name = entry.name.replace(/\.[^.\/]*$/, "").replaceAll("/", "_");
  return entry.pages > 1 ? `${name}_${String(page).padStart(3, "0")}` : name;
}

async function saveOverlay() {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  canvas.width = view.picture.width;
  canvas.height = view.picture.height;
  context.drawImage($("image"), 0, 0);
  context.drawImage($("overlay"), 0, 0);
  save(await new Promise(done => canvas.toBlob(done, "image/png")), stem(view.entry, view.page) + "-overlay.png");
}

async function saveAllMasks() {
  await keepMoved();
  const taken = new Set(), files = work.done().map(([entry, page, {first}]) => {
    const wanted = stem(entry, page);
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted} (${n})`;
    taken.add(name);
    return {name: name + "-mask.png", blob: first.mask};
  });
  save(await zip(files), "masks.zip");
}

async function saveAllTables() {
  await keepMoved();
  const done = work.done(), numbered = done.some(([, , {first}]) => first.numbered);
  const rows = [["image", "page", ...(numbered ? OBJECT_COLUMNS : ["class", "name", "pixels", "share"])]];
  for (const [entry, page, {first}] of done) {
    const start = [entry.name, page + 1], all = first.width * first.height;
    if (numbered) rows.push(...(first.rows || []).map(row => [...start, ...objectCells(row)]));
    else rows.push(...first.counts.map(
      ([id, count]) => [...start, id, className(id, first.model), count, count / all]));
  }
  save(csv(rows), numbered ? "objects.csv" : "classes.csv");
}

function saveDifferences() {
  const {first, second} = view.entry.result(view.page).comparison, titles = names();
  const rows = [first, second].flatMap((found, side) => found.map(row => [titles[side], ...objectCells(row)]));
  save(csv([["only_in", ...OBJECT_COLUMNS], ...rows]), stem(view.entry, view.page) + "-differences.csv");
}

const shown = action => () => Promise.resolve().then(action).catch(error => say(error.message, true));

$("save-mask").onclick = shown(async () => save(await shownMask(), stem(view.entry, view.page) + "-mask.png"));
$("save-overlay").onclick = shown(saveOverlay);
$("save-table").onclick = () => {
  save(csv([OBJECT_COLUMNS, ...view.part.rows.map(objectCells)]), stem(view.entry, view.page) + "-objects.csv");
};
$("save-all-masks").onclick = shown(saveAllMasks);
$("save-all-tables").onclick = shown(saveAllTables);
$("save-differences").onclick = saveDifferences;

// ---------------------------------------------------------------- files to open

const named = files => Array.from(files, file => [file, file.webkitRelativePath || file.name || "pasted image"]);
const inOrder = (one, other) => one[1].localeCompare(other[1], undefined, {numeric: true});
const ofFolder = files => files.filter(([, name]) => NAMES.test(name) && !/(^|\/)\./.test(name)).sort(inOrder);

function openFolder(files) {
  const images = ofFolder(files);
  if (!images.length && files.length) say("The folder holds no images.", true);
  open(images);
}

/** The files below a dropped folder, as [file, path]. */
async function filesBelow(folder) {
  const reader = folder.createReader(), found = [];
  for (;;) {
    // The reader gives a hundred at a time, and none at the end.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    for (const entry of part) {
      if (entry.isDirectory) found.push(...await filesBelow(entry));
      else found.push([await new Promise((resolve, reject) => entry.file(resolve, reject)), entry.fullPath.slice(1)]);
    }
  }
}

async function drop(data) {
  // The items are gone after the first wait.
  const folders = Array.from(data.items, item => item.webkitGetAsEntry?.()).filter(entry => entry?.isDirectory);
  if (!folders.length) return open(named(data.files));
  const names = new Set(folders.map(folder => folder.name));
  const single = named(data.files).filter(([, name]) => !names.has(name)), found = [];
  for (const folder of folders) found.push(...await filesBelow(folder));
  openFolder([...single, ...found]);
}

for (const [input, action] of [["file", open], ["folder", openFolder]]) {
  $(input).onchange = () => {
    const files = named($(input).files);
    $(input).value = "";
    action(files);
  };
}
$("open").onclick = $("hint").onclick = () => $("file").click();
$("open-folder").onclick = () => $("folder").click();
$("hint").onkeydown = event => {
  if (!["Enter", " "].includes(event.key)) return;
  event.preventDefault();
  $("file").click();
};
addEventListener("dragover", event => { event.preventDefault(); $("stage").classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) $("stage").classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  $("stage").classList.remove("over");
  drop(event.dataTransfer).catch(error => say("The folder cannot be read: " + error.message, true));
});
addEventListener("paste", event => open(named(event.clipboardData.files)));

// ---------------------------------------------------------------- controls

$("clear").onclick = () => {
  for (const entry of [...work.entries]) work.remove(entry);
  list.set([]);
  clearView();
  showProgress();
  $("open").focus();
};
$("retry").onclick = () => work.retry();
$("model").onchange = $("against").onchange = async () => {
  await keepMoved();
  offerModels();
  const {entry} = view;
  work.stopped = false;
  const running = work.restart();
  if (entry) select(entry);
  await running;
};
$("opacity").oninput = draw;
$("divider").oninput = draw;
$("threshold").oninput = applyThreshold;
$("load-probabilities").onclick = shown(() => loadProbabilities(view.turn));
for (const id of ["style", "size", "layer"]) {
  for (const button of $(id).children) button.onclick = () => choose(id, button.dataset.value);
}
$("divide").onpointerdown = event => $("divide").setPointerCapture(event.pointerId);
$("divide").onpointermove = event => {
  if (!event.buttons) return;
  const room = $("picture").getBoundingClientRect();
  $("divider").value = 100 * (event.clientX - room.left) / room.width;
  draw();
};

function turnPage(page) {
  const {entry} = view;
  if (entry && entry.pages > 1) select(entry, Math.min(Math.max(Math.round(page) || 0, 0), entry.pages - 1));
}

$("page").onchange = () => turnPage($("page").value - 1);
$("page-before").onclick = () => turnPage(view.page - 1);
$("page-next").onclick = () => turnPage(view.page + 1);
$("all-pages").onclick = () => {
  for (let page = 0; page < view.entry.pages; page++) view.entry.wanted.add(page);
  showProgress();
  work.run();
};

function step(by) {
  const at = work.entries.indexOf(view.entry) + by;
  if (work.entries[at]) select(work.entries[at]);
}

const pressed = (id, value) => () => choose(id, value);
const clicked = id => () => { if (!$(id).disabled && !$(id).hidden) $(id).click(); };
const KEYS = [
  ["o", "open images", clicked("open")],
  ["n", "next image", () => step(1)],
  ["p", "image before", () => step(-1)],
  ["]", "next page of a stack", () => turnPage(view.page + 1)],
  ["[", "page before", () => turnPage(view.page - 1)],
  ["1", "show areas", pressed("style", "fill")],
  ["2", "show outlines", pressed("style", "line")],
  ["3", "show the image alone", pressed("style", "none")],
  ["f", "fit, or 100 %", () => choose("size", chosen("size") === "fit" ? "full" : "fit")],
  ["c", "of two models: the next view", () => {
    const values = Array.from($("layer").children, button => button.dataset.value);
    if (view.second) choose("layer", values[(values.indexOf(chosen("layer")) + 1) % values.length]);
  }],
  ["s", "download the mask", clicked("save-mask")],
  ["?", "this help", () => $("help").showModal()],
];
$("keys").replaceChildren(...[
  ...KEYS.map(([key, title]) => [key, title]),
  ["↑ ↓ Home End", "in the list: choose an image"], ["Del", "in the list: take an image out"],
].map(([key, title]) => {
  const row = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
  head.scope = "row";
  for (const name of key.split(" ")) {
    const cap = document.createElement("kbd");
    cap.textContent = name;
    head.append(cap, " ");
  }
  cell.textContent = title;
  row.append(head, cell);
  return row;
}));
$("show-help").onclick = () => $("help").showModal();
addEventListener("keydown", event => {
  const typing = event.target.closest?.("select, textarea, input:not([type=range]), dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !$("shortcuts").checked) return;
  const found = KEYS.find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  found[2]();
});
addEventListener("resize", layout);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (view.part) showFigures(); });

// ---------------------------------------------------------------- the models

/** Fills the two lists of models; what was chosen stays so where it is still served. */
function offerModels() {
  const found = models.choices(), before = [$("model").value, $("against").value];
  choices.clear();
  for (const choice of found) choices.set(keyOf(choice), choice);
  const options = () => found.map(choice => new Option(titleOf(choice), keyOf(choice)));
  $("model").replaceChildren(...options());
  if (choices.has(before[0])) $("model").value = before[0];
  const others = options().filter(option => option.value !== $("model").value);
  $("against").replaceChildren(new Option("no other model", ""), ...others);
  if (choices.has(before[1]) && before[1] !== $("model").value) $("against").value = before[1];
  $("against-field").hidden = found.length < 2;
}

$("mask-note").textContent = MASK_NOTES[0];
draw();
models.refresh().then(() => {
  offerModels();
  document.body.dataset.ready = "1";
}).catch(error => say(error.message, true));
