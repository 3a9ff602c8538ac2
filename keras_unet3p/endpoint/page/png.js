/** PNG of 8 and 16 bits a channel. A canvas keeps 8 bits, and writes colour only. */

const CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4};

/** Size, depth and kind that the header tells, or null where the bytes are no PNG. */
export function pngHeader(bytes) {
  const start = [137, 80, 78, 71, 13, 10, 26, 10];
  if (bytes.length < 29 || start.some((value, i) => bytes[i] !== value)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {width: view.getUint32(16), height: view.getUint32(20), depth: bytes[24],
          channels: CHANNELS[bytes[25]] || 0, interlaced: bytes[28] !== 0};
}

/**
 * Reads a PNG without loss: a promise of {width, height, depth, channels, data}, `data` a
 * Uint8Array or Uint16Array of the values, the channels of a pixel side by side.
 */
export async function readPng(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer()), header = pngHeader(bytes);
  if (!header || !header.channels || header.depth < 8 || header.interlaced) {
    throw new Error("This kind of PNG is not read here.");
  }
  const view = new DataView(bytes.buffer), parts = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const {width, height, depth, channels} = header;
  const step = channels * depth / 8, row = width * step;
  const packed = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(packed).arrayBuffer());
  if (lines.length < height * (row + 1)) throw new Error("The PNG is truncated.");
  const data = depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  let above = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const line = lines.subarray(y * (row + 1) + 1, (y + 1) * (row + 1));
    unfilter(lines[y * (row + 1)], line, above, step);
    if (depth === 8) data.set(line, y * row);
    else for (let i = 0, at = y * row / 2; i < row; i += 2) data[at++] = line[i] << 8 | line[i + 1];
    above = line;
  }
  return {width, height, depth, channels, data};
}

function unfilter(kind, line, above, step) {
  const size = line.length;
  if (kind === 1) for (let i = step; i < size; i++) line[i] += line[i - step];
  else if (kind === 2) for (let i = 0; i < size; i++) line[i] += above[i];
  else if (kind === 3) {
    for (let i = 0; i < size; i++) line[i] += ((i < step ? 0 : line[i - step]) + above[i]) >> 1;
  } else if (kind === 4) {
    for (let i = 0; i < size; i++) {
      const left = i < step ? 0 : line[i - step], corner = i < step ? 0 : above[i - step], up = above[i];
      let a = up - corner, b = left - corner, c = a + b;
      if (a < 0) a = -a;
      if (b < 0) b = -b;
      if (c < 0) c = -c;
      line[i] += a <= b && a <= c ? left : b <= c ? up : corner;
    }
  }
}

const TABLE = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xEDB88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** The checksum of PNG and ZIP. */
export function crc32(bytes) {
  let crc = 0xFFFFFFFF;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** A grey PNG of the values of a Uint8Array or Uint16Array: a promise of a Blob. */
export async function writePng(values, width, height) {
  const step = values.BYTES_PER_ELEMENT, row = width * step, rows = new Uint8Array(height * (row + 1));
  for (let y = 0, i = 0; y < height; y++) {
    let at = y * (row + 1) + 1;
    for (let x = 0; x < width; x++, i++) {
      if (step === 2) rows[at++] = values[i] >> 8;
      rows[at++] = values[i];
    }
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const chunk = (kind, content) => {
    const bytes = new Uint8Array(content.length + 12), view = new DataView(bytes.buffer);
    view.setUint32(0, content.length);
    for (let i = 0; i < 4; i++) bytes[4 + i] = kind.charCodeAt(i);
    bytes.set(content, 8);
    view.setUint32(content.length + 8, crc32(bytes.subarray(4, -4)));
    return bytes;
  };
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8 * step;
  const start = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  return new Blob([start, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", new Uint8Array())],
                  {type: "image/png"});
}
