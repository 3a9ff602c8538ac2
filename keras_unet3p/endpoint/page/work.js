/** The images of the page, and the queue that segments them one after another. */

import {compared, counted, measured} from "./masks.js";
import {Layer, colorOf} from "./layers.js";
import {openPicture} from "./pictures.js";
import {readPng} from "./png.js";
import {keyOf, segment} from "./server.js";

const THUMB = 96;

/**
 * An image of the list: a file with its pages. `results` has one for each page that was worked on:
 * {state, error, first, second, comparison}. `state` is "waiting", "running", "done" or "error".
 * `first` and `second` are the parts of the two models: {mask: Blob, numbered, model, seconds, rows, counts}.
 */
class Entry {
  constructor(file, name) {
    Object.assign(this, {file, name, page: 0, pages: 1, wanted: new Set([0]), results: new Map(), thumb: ""});
  }

  result(page = this.page) {
    if (!this.results.has(page)) this.results.set(page, {state: "waiting", error: ""});
    return this.results.get(page);
  }
}

export class Work {
  /**
   * @param models the `Models` of the server
   * @param choices a function that gives {first, second}, the models chosen; second may be null
   * @param changed called with an entry and a page whenever something about them has changed
   */
  constructor(models, choices, changed) {
    Object.assign(this, {models, choices, changed, entries: [], current: null, stopped: false, running: false});
    this.pictures = new Map();
  }

  /** Adds [file, name] pairs to the list; returns their entries. */
  add(files) {
    const added = files.map(([file, name]) => new Entry(file, name));
    this.entries.push(...added);
    return added;
  }

  remove(entry) {
    URL.revokeObjectURL(entry.thumb);
    this.pictures.delete(entry);
    this.entries = this.entries.filter(other => other !== entry);
  }

  /** All results that are there, as [entry, page, result]. */
  done() {
    return this.entries.flatMap(entry => [...entry.results].sort((a, b) => a[0] - b[0])
      .filter(([, result]) => result.first && this.isFresh(result)).map(([page, result]) => [entry, page, result]));
  }

  /** Whether a result is of the models that are chosen now. */
  isFresh(result) {
    return result.key === keyOf(this.choices().first);
  }

  /** How many results are wanted, finished (with or without success), and failed. */
  counts() {
    const all = this.entries.flatMap(entry => [...entry.wanted].map(page => entry.result(page)));
    const failed = all.filter(result => result.state === "error").length;
    return {all: all.length, failed, finished: failed + all.filter(result => result.state === "done").length};
  }

  /** The picture of a page; the last two are kept, because they are large. */
  picture(entry, page) {
    const {first} = this.choices(), key = keyOf(first);
    let kept = this.pictures.get(entry);
    if (!kept || kept.page !== page || kept.key !== key) {
      const promise = openPicture(entry.file, page, this.models, first);
      kept = {page, key, promise};
      promise.catch(() => { if (this.pictures.get(entry) === kept) this.pictures.delete(entry); });
    }
    this.pictures.delete(entry);
    this.pictures.set(entry, kept);
    for (const other of this.pictures.keys()) {
      if (this.pictures.size > 2 && other !== this.current) this.pictures.delete(other);
    }
    return kept.promise;
  }

  /** Works until nothing is left to do. A server that has gone stops the queue until `retry`. */
  async run() {
    if (this.running) return;
    this.running = true;
    try {
      for (let next; !this.stopped && (next = this.next());) await this.process(...next);
    } finally {
      this.running = false;
    }
  }

  retry() {
    this.stopped = false;
    for (const entry of this.entries) {
      for (const [page, result] of entry.results) {
        if (result.state !== "error") continue;
        result.state = "waiting";
        this.changed(entry, page);
      }
    }
    return this.run();
  }

  /** Marks what the models chosen now ask for anew, and does it. */
  restart() {
    for (const entry of this.entries) {
      for (const [page, result] of entry.results) {
        if (!this.isToDo(result)) continue;
        if (result.state !== "running") result.state = "waiting";
        this.changed(entry, page);
      }
    }
    return this.run();
  }

  isToDo(result) {
    const {first, second} = this.choices();
    const isFresh = result.key === keyOf(first);
    if (isFresh && result.state === "error" && result.secondKey === (second && keyOf(second))) return false;
    return !isFresh || !result.first || (second !== null && (!result.second || result.secondKey !== keyOf(second)));
  }

  next() {
    const order = this.current ? [this.current, ...this.entries] : this.entries;
    for (const entry of order) {
      const pages = entry === this.current ? [entry.page, ...entry.wanted] : entry.wanted;
      for (const page of pages) {
        if (entry.wanted.has(page) && this.isToDo(entry.result(page))) return [entry, page];
      }
    }
    return null;
  }

  async process(entry, page) {
    const {first, second} = this.choices(), result = entry.result(page);
    if (result.key !== keyOf(first)) delete result.first;
    delete result.second;
    delete result.comparison;
    Object.assign(result, {key: keyOf(first), secondKey: second && keyOf(second), state: "running", error: ""});
    this.changed(entry, page);
    try {
      const picture = await this.picture(entry, page);
      entry.pages = picture.pages;
      if (!result.first) {
        result.first = await this.part(first, picture);
        entry.thumb = await thumbnail(entry.thumb, picture, result.first);
      }
      if (second) {
        result.second = await this.part(second, picture);
        result.comparison = await comparison(result.first, result.second);
      }
      result.state = "done";
    } catch (error) {
      result.state = "error";
      result.error = error.message;
      if (error.gone) this.stopped = true;
    }
    if (entry !== this.current) for (const part of [result.first, result.second]) if (part) delete part.ids;
    if (this.entries.includes(entry)) this.changed(entry, page);
  }

  async part(choice, picture) {
    const part = await segment(this.models, choice, picture);
    const ids = await idsOf(part), {width, height} = picture;
    if (ids.length !== width * height) throw new Error("The mask that the server sent has another size.");
    const counts = [];
    counted(ids).forEach((count, id) => { if (id && count) counts.push([id, count]); });
    return {...part, ids, width, height, counts, rows: part.numbered ? measured(ids, width, height) : null};
  }
}

/** The ids of a part's mask. They are kept as PNG, which is a hundredth of the size. */
export async function idsOf(part) {
  return part.ids || (await readPng(part.mask)).data;
}

async function comparison(first, second) {
  const both = first.numbered && second.numbered;
  let [ids, others] = [await idsOf(first), await idsOf(second)];
  // Objects and classes have the foreground in common.
  if (first.numbered !== second.numbered) [ids, others] = [ids, others].map(each => each.map(id => id ? 1 : 0));
  return compared(ids, others, both ? [first.rows, second.rows] : null);
}

async function thumbnail(former, picture, part) {
  const scale = THUMB / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map(side => Math.max(1, Math.round(side * scale)));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", {willReadFrequently: true}), ids = await idsOf(part);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture.bitmap, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.min(picture.height - 1, Math.floor((y + 0.5) / scale)) * picture.width;
    for (let x = 0; x < width; x++, i += 4) {
      const id = ids[row + Math.min(picture.width - 1, Math.floor((x + 0.5) / scale))];
      if (id) colorOf(id).forEach((value, c) => { image.data[i + c] = (image.data[i + c] + value) / 2; });
    }
  }
  context.putImageData(image, 0, 0);
  URL.revokeObjectURL(former);
  return URL.createObjectURL(await new Promise(done => canvas.toBlob(done, "image/png")));
}

/** What a part's mask becomes when its threshold is moved. */
export function partOf(part, ids) {
  const counts = [];
  counted(ids).forEach((count, id) => { if (id && count) counts.push([id, count]); });
  return {...part, counts};
}

export const layerOf = async part => new Layer(await idsOf(part), part.width, part.height, part.numbered);
