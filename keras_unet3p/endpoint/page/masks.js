/** Masks: what is in them, and how two of them differ. Arrays of ids, row by row; 0 is the background. */

/** Pixels of each id: a list indexed by the id. */
export function counted(ids) {
  const counts = new Uint32Array(ids.BYTES_PER_ELEMENT === 1 ? 256 : 65536);
  for (let i = 0; i < ids.length; i++) counts[ids[i]]++;
  return counts;
}

/** A row for each object, with the columns of the command's table that need no more than the ids. */
export function measured(ids, width, height) {
  const counts = counted(ids), rows = [], byId = [];
  counts.forEach((area, id) => {
    if (id && area) rows.push(byId[id] = {id, y: 0, x: 0, area, edge: 0});
  });
  for (let y = 0, i = 0; y < height; y++) {
    const rim = y === 0 || y === height - 1;
    for (let x = 0; x < width; x++, i++) {
      const id = ids[i];
      if (!id) continue;
      const row = byId[id];
      row.y += y;
      row.x += x;
      if (rim || x === 0 || x === width - 1) row.edge = 1;
    }
  }
  for (const row of rows) {
    row.y /= row.area;
    row.x /= row.area;
  }
  return rows;
}

/** Marks the pixels (1) that lie up to `reach` pixels along a row or column from another id. */
export function borders(ids, width, height, reach) {
  const marks = new Uint8Array(ids.length);
  for (let y = 0, i = 0; y < height; y++) {
    const row = y * width, last = row + width - 1;
    for (; i < last; i++) {
      if (ids[i] !== ids[i + 1]) {
        marks.fill(1, Math.max(row, i - reach + 1), Math.min(last, i + reach) + 1);
      }
    }
    i++;
  }
  for (let i = 0, end = ids.length - width; i < end; i++) {
    if (ids[i] === ids[i + width]) continue;
    for (let step = 0, up = i, down = i + width; step < reach; step++, up -= width, down += width) {
      if (up >= 0) marks[up] = 1;
      if (down < ids.length) marks[down] = 1;
    }
  }
  return marks;
}

/**
 * How two masks differ: {share, first, second, matched}. `share` is that of the pixels with another
 * class, or of objects: that are in an object of one mask alone. `first` and `second` are then the
 * rows of the objects that the other mask lacks: none overlaps with an IoU of at least 1/2.
 *
 * @param rows the objects of the two masks as `measured` gives them, or null for masks of classes
 */
export function compared(ids, others, rows) {
  let different = 0;
  if (!rows) {
    for (let i = 0; i < ids.length; i++) different += ids[i] !== others[i];
    return {share: different / ids.length, first: [], second: [], matched: 0};
  }
  const overlaps = new Map();
  for (let i = 0; i < ids.length; i++) {
    const a = ids[i], b = others[i];
    if (a && b) {
      const pair = a * 65536 + b;
      overlaps.set(pair, (overlaps.get(pair) || 0) + 1);
    } else if (a !== b) different++;
  }
  const areas = rows.map(list => new Map(list.map(row => [row.id, row.area])));
  const pairs = [];
  for (const [pair, overlap] of overlaps) {
    const a = Math.floor(pair / 65536), b = pair % 65536;
    const union = areas[0].get(a) + areas[1].get(b) - overlap;
    if (2 * overlap >= union) pairs.push([overlap / union, a, b]);
  }
  pairs.sort((one, other) => other[0] - one[0]);
  const taken = [new Set(), new Set()];
  for (const [, a, b] of pairs) {
    // At an IoU of exactly 1/2 an object may fit two others.
    if (taken[0].has(a) || taken[1].has(b)) continue;
    taken[0].add(a);
    taken[1].add(b);
  }
  const left = rows.map((list, side) => list.filter(row => !taken[side].has(row.id))
    .sort((one, other) => other.area - one.area));
  return {share: different / ids.length, first: left[0], second: left[1], matched: taken[0].size};
}

const quoted = text => /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;

/** A table as CSV: a Blob. */
export const csv = rows => new Blob([rows.map(row => row.map(value => quoted(String(value))).join(",")).join("\n") + "\n"],
                                    {type: "text/csv"});
export const OBJECT_COLUMNS = ["id", "centroid_row", "centroid_column", "area", "touches_border"];
export const objectCells = ({id, y, x, area, edge}) => [id, y, x, area, edge];
