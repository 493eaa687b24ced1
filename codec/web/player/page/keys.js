/** What keys do: one table, which the page's help shows too. */

const $ = (id) => document.getElementById(id);

/**
 * @typedef {object} Actions what can be done to a film that plays; see `controls.js`
 */

/** Names as people see them, what they do, the action and what it is given; by `event.key`. */
const KEYS = [
  ['Space, k', 'play, pause', [' ', 'k'], 'toggle'],
  ['← →', '5 seconds back, on', ['ArrowLeft'], 'move', -5],
  [null, null, ['ArrowRight'], 'move', 5],
  ['j, l', '30 seconds back, on', ['j'], 'move', -30],
  [null, null, ['l'], 'move', 30],
  ['comma, point', 'one picture back, on', [','], 'step', -1],
  [null, null, ['.'], 'step', 1],
  ['Home, End', 'beginning, end', ['Home'], 'move', -Infinity],
  [null, null, ['End'], 'move', Infinity],
  ['n, p', 'next chapter, the one before', ['n'], 'chapter', 1],
  [null, null, ['p'], 'chapter', -1],
  ['↑ ↓', 'louder, softer', ['ArrowUp'], 'louder', 0.1],
  [null, null, ['ArrowDown'], 'louder', -0.1],
  ['m', 'mute', ['m'], 'mute'],
  ['< >', 'slower, faster', ['<'], 'faster', -1],
  [null, null, ['>'], 'faster', 1],
  ['f', 'full screen', ['f'], 'full'],
  ['d', 'divider: base beside restored', ['d'], 'compare'],
  ['z', 'lens: four times under the pointer', ['z'], 'magnify'],
  ['b', 'the base alone', ['b'], 'baseOnly'],
  ['w', 'wait for every picture, or play on', ['w'], 'patient'],
  ['i', 'statistics', ['i'], 'told'],
  ['c', 'subtitles', ['c'], 'subtitles'],
  ['o', 'open another file', ['o'], 'another'],
  ['0 .. 9', 'tenths of the film', [], ''],
  ['+ −, wheel', 'stills: larger, smaller', [], ''],
  ['0, 1', 'stills: all of it, each pixel as one', [], ''],
  ['arrows, drag', 'stills: move what is enlarged', [], ''],
  ['?', 'these keys', ['?'], 'help'],
];

/** Let keys act.
 * @param {() => Record<string, (value?: number) => void> | null} actions of the film that is open; null without */
export function listen(actions) {
  const list = document.querySelector('#keys dl');
  for (const [names, does] of KEYS) {
    if (!names) continue;
    const [term, text] = [document.createElement('dt'), document.createElement('dd')];
    [term.textContent, text.textContent] = [names, does];
    list.append(term, text);
  }
  document.addEventListener('keydown', (event) => {
    const found = actions();
    if (!found || event.ctrlKey || event.altKey || event.metaKey || $('keys').open || types(event.target)) return;
    if (event.target instanceof HTMLButtonElement && [' ', 'Enter'].includes(event.key)) return; // it is pressed
    const digit = /^[0-9]$/.test(event.key);
    const entry = KEYS.find(([, , keys]) => keys.includes(event.key));
    if (!digit && !entry) return;
    event.preventDefault();
    if (digit) found.tenth(Number(event.key));
    else found[entry[3]](entry[4]);
  });
}

/** Whether keys belong to what has the focus. */
function types(target) {
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  return target instanceof HTMLInputElement && target.id !== 'seek';
}
