/** The figures beside the image: classes, objects, and how two masks differ. */

import {colorOf, differenceColor} from "./layers.js";

const $ = id => document.getElementById(id);
const BARS = 26;
const MOST_LISTED = 200;
const percent = (count, all) => (100 * count / all).toFixed(1) + " %";

function legendRow(color, title, figure) {
  const item = document.createElement("li"), box = document.createElement("i");
  const name = document.createElement("span"), share = document.createElement("span");
  box.style.background = `rgb(${color})`;
  name.textContent = title;
  share.textContent = figure;
  item.append(box, name, share);
  return item;
}

/** The name of an id of a mask of classes; where classes may overlap an id is a set of them. */
export function className(id, {classes, overlapping, num_classes}) {
  if (overlapping) {
    const set = Array.from({length: 16}, (_, k) => k).filter(k => id >> k & 1);
    return set.map(k => classes?.[k] ?? "Class " + k).join(" and ");
  }
  return (num_classes === 1 && classes?.length === 1 ? classes[0] : classes?.[id]) ?? "Class " + id;
}

export function showClasses(part) {
  const all = part.width * part.height;
  $("legend").replaceChildren(...part.counts.map(
    ([id, count]) => legendRow(colorOf(id), className(id, part.model), percent(count, all))));
}

export function showDifferenceColors(titles, numbered) {
  const rows = [[1, `${titles[0]} alone`], [2, `${titles[1]} alone`], [0, "both"]];
  if (!numbered) rows.push([3, "different classes"]);
  $("legend").replaceChildren(...rows.map(([kind, title]) => legendRow(differenceColor(kind), title, "")));
}

export function showObjects(rows) {
  const areas = rows.map(row => row.area).sort((a, b) => a - b), bars = new Array(BARS).fill(0);
  const most = areas[areas.length - 1] || 0;
  for (const area of areas) bars[Math.min(Math.floor(BARS * area / most), BARS - 1)]++;
  $("count").textContent = areas.length === 1 ? "1 object" : areas.length + " objects";
  $("median").textContent = areas.length ? "median " + areas[areas.length >> 1] : "";
  $("least").textContent = "0";
  $("most").textContent = most;
  const canvas = $("histogram"), context = canvas.getContext("2d"), top = Math.max(...bars, 1);
  canvas.setAttribute("aria-label", `Areas of ${areas.length} objects, up to ${most} pixels`);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(document.body).getPropertyValue("--accent");
  bars.forEach((bar, n) => {
    const height = canvas.height * bar / top, step = canvas.width / BARS;
    context.fillRect(n * step, canvas.height - height, step - 2, height);
  });
  $("objects").hidden = false;
}

/**
 * @param comparison as `compared` gives it
 * @param titles of the two models
 * @param point called with the row of an object that was chosen, and whether it is the second's
 */
export function showComparison(comparison, titles, numbered, point) {
  const {share, first, second, matched} = comparison;
  $("share").textContent = `${(100 * share).toFixed(2)} % of the pixels differ`
    + (numbered ? `; ${matched} objects in both.` : ".");
  const lists = numbered ? [first, second].map((rows, side) => differing(rows, titles[side], side === 1, point)) : [];
  $("differing").replaceChildren(...lists);
}

function differing(rows, title, isSecond, point) {
  const details = document.createElement("details"), summary = document.createElement("summary");
  summary.textContent = `${rows.length} in ${title} alone`;
  details.append(summary);
  const list = document.createElement("ul");
  for (const row of rows.slice(0, MOST_LISTED)) {
    const item = document.createElement("li"), button = document.createElement("button");
    button.textContent = `${row.id}: ${row.area} px, row ${Math.round(row.y)}, column ${Math.round(row.x)}`;
    button.onclick = () => point(row, isSecond);
    item.append(button);
    list.append(item);
  }
  if (rows.length > MOST_LISTED) {
    const item = document.createElement("li");
    item.textContent = `and ${rows.length - MOST_LISTED} smaller ones, in the table`;
    list.append(item);
  }
  if (rows.length) details.append(list);
  return details;
}
