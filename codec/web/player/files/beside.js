/** Files of the program that lie beside the page: heads and tables. */

/** Where a head of the program lies.
 * @param {'film' | 'still'} kind of what it restores
 * @param {number} number
 * @returns {string} a name beside the page, which `codec/web/pages.py` gives it */
export function headFileOf(kind, number) {
  return `heads/${kind}${number}.bin`;
}

/** The bytes of one.
 * @param {string} name
 * @param {string} page address that it lies beside
 * @returns {Promise<Uint8Array | null>} null where it cannot be had */
export async function bytesBeside(name, page) {
  const response = await fetch(new URL(name, page)).catch(() => null);
  const data = response?.ok ? await response.arrayBuffer().catch(() => null) : null;
  return data && new Uint8Array(data);
}
