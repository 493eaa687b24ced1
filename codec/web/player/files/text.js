/** Words in files: subtitles as lines of plain text, strings, chapters. */

const UTF8 = new TextDecoder('utf-8');
const UTF16 = new TextDecoder('utf-16be');

/**
 * @param {Uint8Array} bytes that a string is made of: UTF-8, or UTF-16 with a mark in front
 * @returns {string} as far as the first zero, which ends it
 */
export function textOf(bytes) {
  const wide = bytes.length >= 2 && bytes[0] === 0xfe && bytes[1] === 0xff;
  const [text] = (wide ? UTF16.decode(bytes.subarray(2)) : UTF8.decode(bytes)).split('\0', 1);
  return text;
}

/**
 * Let chapters whose end is not told (0) end where the next begins, or the film ends.
 * @param {{duration: number, chapters: {start: number, end: number}[]}} film seconds
 */
export function endChapters({ duration, chapters }) {
  chapters.forEach((chapter, k) => {
    chapter.end ||= chapters[k + 1]?.start ?? Math.max(duration, chapter.start);
  });
}

/**
 * @param {string} codec of a track of text: "tx3g", "text", "webvtt" or "ass"
 * @param {Uint8Array} bytes of one sample
 * @returns {string} lines, without marks of style; empty where nothing is to be shown
 */
export function plainText(codec, bytes) {
  if (codec === 'tx3g') {
    const size = bytes.length < 2 ? 0 : bytes[0] * 256 + bytes[1];
    return textOf(bytes.subarray(2, 2 + size)).replace(/\r\n?/g, '\n');
  }
  let text = textOf(bytes).replace(/\r\n?/g, '\n');
  if (codec === 'ass') {
    // ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect, then the text
    text = withoutBraces(text.split(',').slice(8).join(',')).replace(/\\[Nn]/g, '\n').replace(/\\h/g, ' ');
  }
  return text.replace(/<[^<>\n]*>/g, '').trim();
}

/** A text without what stands in braces; each character is looked at once, however many open and never close. */
function withoutBraces(text) {
  let kept = '';
  let at = 0;
  for (;;) {
    const open = text.indexOf('{', at);
    const close = open < 0 ? -1 : text.indexOf('}', open);
    if (close < 0) return kept + text.slice(at);
    kept += text.slice(at, open);
    at = close + 1;
  }
}
