/** Files as pictures: what is shown of them, and what is sent to the model. */

import {pngHeader, readPng} from "./png.js";
import {decoded} from "./server.js";

const MOST_PIXELS = 2 ** 28;  // of a canvas
const SAMPLE = 200000;
// Of the pixels of an image of more than 8 bits, so many are shown black and white.
const BLACK = 0.002, WHITE = 0.998;

const startsWith = (bytes, ...starts) => starts.some(start => start.every((value, i) => bytes[i] === value));
const isJpeg = bytes => startsWith(bytes, [0xFF, 0xD8, 0xFF]);
const isOfServer = bytes => startsWith(bytes, [73, 73, 42, 0], [77, 77, 0, 42], [73, 73, 43, 0], [77, 77, 0, 43],
                                       [0x93, 78, 85, 77, 80, 89]);

/**
 * Opens an image of a file: a promise of {width, height, pages, stored, bitmap, stretched} and of
 * what is sent, `blob` (a PNG or JPEG) or `pixels`. PNG and JPEG are sent as they are. TIFF and NPY
 * are decoded by the server, without loss; everything else by the browser.
 *
 * @param choice the model, whose card says how values are sent that no PNG holds
 */
export async function openPicture(file, page, models, choice) {
  const bytes = new Uint8Array(await start(file));
  if (isOfServer(bytes)) {
    const found = await decoded(models, choice, file, page);
    if (!found.pixels) return {...found, ...await shownPng(found.blob, file.name)};
    const {values, width, height, channels} = found.pixels;
    return {...found, ...await stretched(values, width, height, channels)};
  }
  if (pngHeader(bytes)) return {pages: 1, blob: file, ...await shownPng(file, file.name)};
  const bitmap = await bitmapOf(file, file.name);
  const picture = plain(bitmap);
  picture.blob = isJpeg(bytes) ? file : await new Promise(done => canvasOf(bitmap).toBlob(done, "image/png"));
  return {pages: 1, ...picture};
}

async function start(file) {
  try {
    return await file.slice(0, 64).arrayBuffer();
  } catch {
    throw new Error(`${file.name} cannot be read: it was moved, changed or is a folder.`);
  }
}

async function shownPng(blob, name) {
  const header = pngHeader(new Uint8Array(await blob.slice(0, 64).arrayBuffer()));
  if (header.width * header.height > MOST_PIXELS) {
    throw new Error(`${name} has ${header.width} × ${header.height} pixels; too large for the browser to show.`);
  }
  if (header.depth === 16 && header.channels && !header.interlaced) {
    let png;
    try {
      png = await readPng(blob);
    } catch {
      throw new Error(`${name} is not an image that the browser can show: the PNG is damaged.`);
    }
    return {...await stretched(png.data, png.width, png.height, png.channels), stored: "uint16"};
  }
  return plain(await bitmapOf(blob, name));
}

async function bitmapOf(blob, name) {
  try {
    return await createImageBitmap(blob, {imageOrientation: "none"});
  } catch {
    throw new Error(`${name} is not an image that the browser can show; accepted are PNG, JPEG, TIFF, NPY and `
                    + "what the browser shows.");
  }
}

export function canvasOf(bitmap) {
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas;
}

function plain(bitmap) {
  const {width, height} = bitmap;
  // The pixels for a model that takes no PNG of them.
  const greys = channels => {
    const pixels = canvasOf(bitmap).getContext("2d").getImageData(0, 0, width, height).data;
    const values = new Uint8Array(width * height * channels);
    for (let i = 0, at = 0; i < pixels.length; i += 4) {
      if (channels === 1) {
        values[at++] = Math.round(0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2]);
      } else for (let c = 0; c < channels; c++) values[at++] = pixels[i + c];
    }
    return {values, width, height, channels};
  };
  return {width, height, bitmap, stored: "uint8", stretched: false, greys};
}

/** Values of any range as 8 bits for the screen, between two percentiles of the image. */
async function stretched(values, width, height, channels) {
  const colours = channels < 3 ? 1 : 3, pixels = width * height;
  const step = Math.max(1, Math.floor(pixels / SAMPLE)), sample = [];
  for (let i = 0; i < pixels; i += step) {
    for (let c = 0; c < colours; c++) sample.push(values[i * channels + c]);
  }
  const sorted = Float64Array.from(sample).sort(), at = share => sorted[Math.round(share * (sorted.length - 1))];
  const black = at(BLACK), scale = 255 / (at(WHITE) - black || 1);
  const image = new ImageData(width, height), out = image.data;  // it clamps
  for (let i = 0, from = 0, to = 0; i < pixels; i++, from += channels, to += 4) {
    out[to] = (values[from] - black) * scale;
    out[to + 1] = colours === 1 ? out[to] : (values[from + 1] - black) * scale;
    out[to + 2] = colours === 1 ? out[to] : (values[from + 2] - black) * scale;
    out[to + 3] = 255;
  }
  return {width, height, bitmap: await createImageBitmap(image), stretched: true};
}
