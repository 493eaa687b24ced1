/**
 * The page: opens what is dropped on it, chosen, or named by `?src=`.
 *
 *     files/      containers, by ranges: MP4, Matroska, AVIF; what AV1 units carry
 *     restore/    FORMAT.md in JavaScript: payloads, heads, loss-streams, stills; the worker that runs them
 *     gpu/        heads as shaders: WebGPU, else WebGL2
 *     gaussians/  SPLAT.md in JavaScript and WGSL
 *     drawing/    planes on the screen: colour, light, profiles
 *     page/       course and clock of a film, sound, controls, words
 *
 * A film: `files/film.js` finds its units, `page/pictures.js` has the browser decode their base and
 * `restore/restoring.js` restore it, `page/player.js` takes pictures when they are due, `page/view.js` shows them.
 */

import { tellAlive } from './page/alive.js';
import { isAvif } from './files/avif.js';
import { NvcError } from './files/bytes.js';
import { Controls, StillControls } from './page/controls.js';
import { Gaussians } from './page/gaussians.js';
import { listen } from './page/keys.js';
import { isGaussians } from './gaussians/nvs.js';
import { plainPicture, plainVideo, playsAv1 } from './page/plain.js';
import { OnlyPlain, Session } from './page/session.js';
import { fileSource, urlSource } from './files/source.js';
import { Still } from './page/still.js';
import { View } from './page/view.js';

const $ = (id) => document.getElementById(id);
const HEAD = 256; // bytes that tell what a file is

const view = new View();
let current = null; // {session, controls}
let opening = 0; // counts, so that what was overtaken is noticed
let lent = null; // address of a file that a plain element shows

/** Open a source; `address` is what the browser itself would load.
 * @param {Promise<import('./files/source.js').Source> | import('./files/source.js').Source} asked
 * @param {() => string} address */
async function openSource(asked, address) {
  const turn = ++opening;
  close();
  $('welcome').hidden = false;
  say('opening …');
  try {
    const source = await asked;
    document.title = `${source.name} – NVC player`;
    const head = await source.read(0, Math.min(HEAD, source.size));
    if (isAvif(head)) await showStill(source, address, turn);
    else if (isGaussians(head)) await showPicture(Gaussians, source, turn);
    else await openFilm(source, address, turn);
    if (turn !== opening) return;
    $('welcome').hidden = true;
    $('player').classList.add('film');
  } catch (error) {
    if (turn === opening) fail(error);
  }
}

async function openFilm(source, address, turn) {
  let session;
  try {
    session = await Session.open(source, view);
  } catch (error) {
    if (!(error instanceof OnlyPlain)) throw error;
    await showPlain(error, address);
    return;
  }
  if (turn !== opening) {
    session.close();
    return;
  }
  const controls = new Controls(session, () => $('file').click());
  current = { session, controls };
  if (session.film.tags.title) document.title = `${session.film.tags.title} – NVC player`;
  note(session.notes);
  session.player.addEventListener('failure', async ({ detail }) => {
    if (session.player.shown) view.words(`${sentence(detail)}.`);
    else {
      close();
      const plain = new OnlyPlain(`The base alone: ${detail.message}`, session.track.codec);
      await showPlain(plain, address).catch(fail);
    }
  });
  session.player.seek(0);
}

async function showPlain(why, address) {
  if (!playsAv1(why.codec)) throw new NvcError('This browser does not decode AV1: it cannot show this film at all');
  await plainVideo(view, address());
  $('welcome').hidden = true;
  $('player').classList.add('film');
  note([why.message]);
}

async function showStill(source, address, turn) {
  try {
    await showPicture(Still, source, turn);
  } catch (error) {
    if (!(error instanceof NvcError)) throw error;
    await plainPicture(view, address()).catch(() => {
      throw new NvcError(`This browser cannot show the picture: ${error.message}`);
    });
    view.words(`This is the base: ${error.message}`);
  }
}

/** Open a still picture of either kind. */
async function showPicture(kind, source, turn) {
  const session = await kind.open(source, view);
  if (turn !== opening) {
    session.close();
    return;
  }
  current = { session, controls: new StillControls(session, () => $('file').click()) };
  session.done.then(() => session.closed || note(session.notes), (error) => session.closed || fail(error));
}

function close() {
  current?.controls.close();
  current?.session.close();
  current = null;
  if (lent) URL.revokeObjectURL(lent);
  lent = null;
  view.end();
  note([]);
  $('player').classList.remove('film');
}

function fail(error) {
  close();
  $('welcome').hidden = false;
  say(sentence(error), true);
}

/** An error as a sentence. */
function sentence(error) {
  const text = error instanceof NvcError ? error.message : `Something went wrong: ${error?.message ?? error}`;
  return text[0].toUpperCase() + text.slice(1);
}

function say(text, wrong = false) {
  $('loading').textContent = text;
  $('loading').classList.toggle('wrong', wrong);
}

function note(sentences) {
  $('note').textContent = sentences.join(' · ');
  $('note').hidden = !sentences.length;
}

function openFile(file) {
  openSource(fileSource(file), () => (lent = URL.createObjectURL(file)));
}

function openAddress(address) {
  openSource(urlSource(address), () => address);
}

function begin() {
  tellAlive(location);
  listen(() => current?.controls.actions ?? null);
  $('choose').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => {
    const [file] = $('file').files;
    if (file) openFile(file);
    $('file').value = '';
  });
  $('from').addEventListener('submit', (event) => {
    event.preventDefault();
    openAddress($('address').value);
  });
  const stage = $('stage');
  for (const name of ['dragenter', 'dragover']) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      stage.classList.add('dropping');
    });
  }
  document.addEventListener('dragleave', (event) => event.relatedTarget || stage.classList.remove('dropping'));
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    stage.classList.remove('dropping');
    const [file] = event.dataTransfer.files;
    if (file) openFile(file);
  });
  const address = new URLSearchParams(location.search).get('src');
  if (address) openAddress(new URL(address, document.baseURI).href);
}

begin();
