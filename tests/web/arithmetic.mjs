// Restores what the cases of a JSON file describe with the player's modules, and prints what differs, as JSON.
//
//     node arithmetic.mjs PLAYER CASES
//
// PLAYER: folder of the modules; CASES: written by test_arithmetic.py. Arrays are {type, data} with base64.

import { listed, module } from './jobs.mjs';

const { checksum, shapesOf } = await module('restore/planes.js');
const { Restorer, missing } = await module('restore/restore.js');

const TYPES = { u8: Uint8Array, u16: Uint16Array, i8: Int8Array, i32: Int32Array };

/** An array as it was before it was written. */
function arrayOf({ type, data }) {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
  return new TYPES[type](bytes.buffer);
}

const planesOf = (arrays, shapes) => arrays.map((array, p) => ({ ...shapes[p], samples: arrayOf(array) }));

/** Numbers of pictures and planes that differ from what was wanted, and of groups with another checksum. */
function differences({ segment, head, pictures, baseSize, checksums }) {
  const found = { planes: [], checksums: [], missing: missing(segment) };
  if (found.missing) return found;
  segment.used = arrayOf(segment.used);
  const layers = head?.layers.map((layer) => ({ ...layer, weight: arrayOf(layer.weight), bias: arrayOf(layer.bias) }));
  const restorer = new Restorer(segment, head && { ...head, layers });
  let crc = 0;
  pictures.forEach(({ base, steered, payload, planes }, k) => {
    const told = steered && { ...steered, blocks: steered.blocks && arrayOf(steered.blocks) };
    const predicted = restorer.predict(planesOf(base, shapesOf(...baseSize, 1)), k, told);
    const decoded = restorer.complete(predicted, payload && arrayOf(payload));
    planes.forEach((plane, p) => {
      const wanted = arrayOf(plane);
      const same = decoded[p].samples.constructor === wanted.constructor && decoded[p].samples.length === wanted.length;
      if (!same || decoded[p].samples.some((sample, i) => sample !== wanted[i])) found.planes.push([k, p]);
    });
    crc = checksum(decoded, k % segment.group ? crc : 0);
    if (((k + 1) % segment.group === 0 || k + 1 === pictures.length)
      && crc !== checksums[Math.floor(k / segment.group)]) found.checksums.push(k);
  });
  return found;
}

const found = listed.map(differences);
process.stdout.write(JSON.stringify(found));
