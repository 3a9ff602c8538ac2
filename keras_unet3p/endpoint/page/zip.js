/** ZIP archives without compression: PNG files are compressed already. */

import {crc32} from "./png.js";

const MOST = 2 ** 32 - 1;
const DOS_DATE = 0x21;  // 1 January 1980; the files' contents alone decide the archive

/**
 * @param files a list of {name, blob}
 * @returns a promise of a Blob
 */
export async function zip(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const {name, blob} of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer()), title = new TextEncoder().encode(name);
    const crc = crc32(bytes), size = bytes.length;
    // version, flags (UTF-8 names), method, time, date, crc, sizes, name's length, extra's length
    const common = [[20, 2], [0x800, 2], [0, 2], [0, 2], [DOS_DATE, 2], [crc, 4], [size, 4], [size, 4],
                    [title.length, 2], [0, 2]];
    const local = record([[0x04034b50, 4], ...common]);
    // comment's length, disk, attributes, offset
    directory.push(record([[0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]]), title);
    parts.push(local, title, blob);
    offset += local.length + title.length + size;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  if (offset + size > MOST || files.length > 65535) {
    throw new Error("Too much for one ZIP file: it holds 4 GB and 65,535 files.");
  }
  const end = record([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4],
                      [0, 2]]);
  return new Blob([...parts, ...directory, end], {type: "application/zip"});
}

function record(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, size]) => sum + size, 0)), view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, size] of fields) {
    size === 4 ? view.setUint32(at, value, true) : view.setUint16(at, value, true);
    at += size;
  }
  return bytes;
}
