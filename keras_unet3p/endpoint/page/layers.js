/** Masks as colours over the image. */

import {borders} from "./masks.js";

const COLORS = [[255, 92, 64], [76, 194, 255], [255, 196, 60], [125, 220, 120], [240, 110, 170], [170, 140, 255],
                [110, 220, 210], [250, 235, 120]];
const DIFFERENCES = [[150, 150, 150], [255, 140, 0], [30, 144, 255], [230, 60, 200]];

export const colorOf = id => COLORS[(id - 1) % COLORS.length];
/** Of what both masks have, the first alone, the second alone, and each with another class. */
export const differenceColor = kind => DIFFERENCES[kind];

const packed = ([red, green, blue], alpha) => (alpha << 24 | blue << 16 | green << 8 | red) >>> 0;

/** A mask that can be drawn; its borders are looked for once. */
export class Layer {
  constructor(ids, width, height, numbered) {
    Object.assign(this, {ids, width, height, numbered});
    this.highest = 0;
    for (let i = 0; i < ids.length; i++) if (ids[i] > this.highest) this.highest = ids[i];
  }

  get borders() {
    // The line must be visible also in a large image that is shown small.
    const reach = Math.max(1, Math.round(Math.max(this.width, this.height) / 900));
    return this.kept ||= borders(this.ids, this.width, this.height, reach);
  }

  /** Colours all pixels in the columns `left` to `right` of `out`, a Uint32Array of the canvas's pixels. */
  paint(out, style, alpha, left = 0, right = this.width) {
    const {ids, width, height, highest, numbered} = this;
    const light = new Uint32Array(highest + 1), full = new Uint32Array(highest + 1);
    for (let id = 1; id <= highest; id++) {
      light[id] = packed(colorOf(id), alpha);
      full[id] = packed(colorOf(id), 255);
    }
    // Touching objects may have one colour: a line parts them.
    const marks = style === "line" || numbered ? this.borders : null;
    for (let y = 0; y < height; y++) {
      const end = y * width + right;
      for (let i = y * width + left; i < end; i++) {
        const id = ids[i];
        if (!marks) out[i] = light[id];
        else if (style === "line") out[i] = marks[i] ? light[id] : 0;
        else out[i] = marks[i] ? full[id] : light[id];
      }
    }
  }
}

/** Colours where two masks differ, and faintly where they agree. */
export function paintDifferences(out, first, second, alpha) {
  const colors = DIFFERENCES.map((color, kind) => packed(color, kind ? Math.max(alpha, 160) : alpha >> 1));
  const a = first.ids, b = second.ids, numbered = first.numbered && second.numbered;
  for (let i = 0; i < out.length; i++) {
    if (a[i]) out[i] = colors[b[i] ? (numbered || a[i] === b[i] ? 0 : 3) : 1];
    else out[i] = b[i] ? colors[2] : 0;
  }
}
