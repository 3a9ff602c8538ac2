/** What the page asks the server for, and errors in words. */

import {readPng, writePng} from "./png.js";

export class ServerError extends Error {
  /** @param gone whether there was no answer at all, so that further requests are in vain. */
  constructor(message, {status = 0, gone = false} = {}) {
    super(message);
    this.status = status;
    this.gone = gone;
  }
}

async function fetched(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ServerError("The server does not answer. Is it still running?", {gone: true});
  }
  if (response.ok) return response;
  let message = "";
  try {
    message = (await response.json()).error;
  } catch { /* no answer of this server's; the status has to do */ }
  throw new ServerError(message || "The server answered with the status " + response.status + ".",
                        {status: response.status});
}

// The server writes NaN as a word, which is not valid JSON.
const parsed = text => JSON.parse(
  text.replace(/([\[,:]\s*)(?:NaN|-?Infinity)(?=\s*[,\]}])/g, "$1null"));

/**
 * The models that are served. Asked for once, and again when an answer's version is another.
 *
 * A choice is {name}, {name, version} or {name, label}.
 */
export class Models {
  constructor() {
    this.list = [];
    this.limits = {};
  }

  async refresh() {
    const answer = await (await fetched("page/models")).json();
    this.list = answer.models;
    this.limits = answer.limits;
  }

  /** All that can be chosen: each model's newest version, and where there are more each of them. */
  choices() {
    const found = [];
    for (const {name, versions} of this.list) {
      found.push({name});
      for (const {labels} of versions) found.push(...labels.map(label => ({name, label})));
      if (versions.length > 1) found.push(...versions.map(({version}) => ({name, version})));
    }
    return found;
  }

  /** The version that answers to a choice, or null. */
  of(choice) {
    const versions = this.list.find(model => model.name === choice.name)?.versions || [];
    if (choice.version) return versions.find(each => each.version === choice.version) || null;
    if (choice.label) return versions.find(each => each.labels.includes(choice.label)) || null;
    return versions[0] || null;
  }
}

export const titleOf = choice => choice.version ? `${choice.name}, version ${choice.version}`
  : choice.label ? `${choice.name}, ${choice.label}` : choice.name;
export const keyOf = choice => pathOf(choice);

function pathOf({name, version, label}) {
  const part = version ? "/versions/" + version : label ? "/labels/" + encodeURIComponent(label) : "";
  return encodeURIComponent(name) + part;
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}

function blobOf(encoded) {
  const text = atob(encoded), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Blob([bytes], {type: "image/png"});
}

async function predicted(models, choice, body) {
  const size = body.size;
  if (size > models.limits.request_bytes) {
    throw new ServerError(
      `Too large: ${sized(size)} to send, and the server takes ${sized(models.limits.request_bytes)}.`);
  }
  const response = await fetched(`v1/models/${pathOf(choice)}:predict`, {method: "POST", body});
  return {answer: parsed(await response.text()), version: response.headers.get("Model-Version")};
}

const sized = bytes => bytes < 2 ** 20 ? Math.round(bytes / 2 ** 10) + " kB" : (bytes / 2 ** 20).toFixed(1) + " MB";

async function encodedBody(signature, blob) {
  const name = signature === "serving_default" ? "" : `"signature_name":"${signature}",`;
  return new Blob([`{${name}"instances":[{"b64":"`, await base64(blob), '"}]}']);
}

/** Numbers are sent for pixels that no PNG holds, and to models without a signature for probabilities as PNG. */
function numbersBody(models, signature, {values, width, height, channels}) {
  const count = width * height * (channels + 1) + height;
  if (count > models.limits.json_values) {
    throw new ServerError(`Too large: these values travel as numbers, ${count} of them, and the server takes `
                          + `${models.limits.json_values}.`);
  }
  const parts = [`{"signature_name":"${signature}","inputs":[[`];
  for (let y = 0, at = 0; y < height; y++) {
    const row = [];
    for (let x = 0; x < width; x++, at += channels) row.push("[" + values.subarray(at, at + channels).join() + "]");
    parts.push(y ? ",[" : "[", row.join(), "]");
  }
  parts.push("]]}");
  return new Blob(parts);
}

/**
 * Segments a picture: a promise of {mask: Blob, numbered, model, seconds}. `model` is the version's
 * entry of `models`, which is asked for again where another version than the known one answers.
 */
export async function segment(models, choice, picture) {
  for (let attempt = 0; ; attempt++) {
    const model = models.of(choice);
    try {
      if (!model) throw new ServerError(`${titleOf(choice)} is not served any more.`, {status: 404});
      const numbered = model.signatures.includes("instances_of_bytes");
      const begin = performance.now();
      const {mask, version} = picture.pixels
        ? await byNumbers(models, choice, picture, numbered) : await byBytes(models, choice, picture, numbered);
      const seconds = (performance.now() - begin) / 1000;
      if (version && version !== model.version) await models.refresh();
      return {mask, numbered, seconds, model: models.of(choice) || model};
    } catch (error) {
      if (attempt || error.gone || ![400, 404].includes(error.status)) throw error;
      await models.refresh();
      if (models.of(choice)?.version === model?.version) throw error;
    }
  }
}

async function byBytes(models, choice, picture, numbered) {
  const signature = numbered ? "instances_of_bytes" : "serving_default";
  const body = await encodedBody(signature, picture.blob);
  const {answer, version} = await predicted(models, choice, body);
  const found = answer.predictions[0];
  return {mask: blobOf(numbered ? found.instance_bytes.b64 : found.b64), version};
}

async function byNumbers(models, choice, picture, numbered) {
  const signature = numbered ? "instances" : "classes";
  const body = numbersBody(models, signature, picture.pixels);
  const {answer, version} = await predicted(models, choice, body);
  const rows = (numbered ? answer.outputs.instance_ids : answer.outputs)[0];
  const sets = Array.isArray(rows[0][0]);  // overlapping classes: a sum of 2**k
  const flat = sets ? rows.flatMap(row => row.map(pixel => pixel.reduce((sum, on, k) => sum + on * 2 ** k, 0)))
    : rows.flat();
  const most = flat.reduce((high, value) => Math.max(high, value), 0);
  const ids = (numbered || most > 255 ? Uint16Array : Uint8Array).from(flat);
  return {mask: await writePng(ids, picture.width, picture.height), version};
}

/** The probabilities of a model's single class, each 0 to 1: a promise of a Float32Array. */
export async function probabilities(models, choice, picture) {
  if (models.of(choice).signatures.includes("probabilities_of_bytes") && !picture.pixels) {
    const signature = "probabilities_of_bytes";
    const {answer} = await predicted(models, choice, await encodedBody(signature, picture.blob));
    const found = answer.predictions[0];
    const png = await readPng(blobOf((Array.isArray(found) ? found[0] : found).b64));
    return Float32Array.from(png.data, level => level / 255);
  }
  const body = numbersBody(models, "probabilities", picture.pixels || await picture.greys(models.of(choice).channels));
  const {answer} = await predicted(models, choice, body);
  return Float32Array.from(answer.outputs[0].flat(2));
}

/** An image of a TIFF or NPY file as the model takes it: a promise of {blob or pixels, pages, stored}. */
export async function decoded(models, choice, file, page) {
  if (file.size > models.limits.request_bytes) {
    throw new ServerError(
      `Too large: ${sized(file.size)}, and the server takes files of ${sized(models.limits.request_bytes)}.`);
  }
  const query = new URLSearchParams({name: file.name, page, model: choice.name});
  if (choice.version) query.set("version", choice.version);
  if (choice.label) query.set("label", choice.label);
  const response = await fetched("page/image?" + query, {method: "POST", body: file});
  const told = name => response.headers.get("Image-" + name);
  const facts = {pages: +told("Pages"), stored: told("Stored")};
  if (!told("Shape")) return {...facts, blob: await response.blob()};
  const [height, width, channels] = told("Shape").split(",").map(Number);
  const bytes = await response.arrayBuffer();
  const values = told("Type") === "uint8" ? new Uint8Array(bytes) : new Float32Array(bytes);
  return {...facts, pixels: {values, width, height, channels}};
}
