/** What the browser shows by itself where this player cannot: a film's base as a plain video, a still's base. */

const $ = (id) => document.getElementById(id);

/** Show something in the place of the canvas.
 * @param {HTMLVideoElement | HTMLImageElement} element
 * @param {import('./view.js').View} view
 * @param {string} address of the file
 * @returns {Promise<void>} when it is there
 * @throws {Error} where the browser cannot show it */
function shown(element, view, address) {
  const old = $('picture');
  element.id = 'picture';
  old.replaceWith(element);
  return new Promise((resolve, reject) => {
    const size = () => {
      const { videoWidth, naturalWidth, videoHeight, naturalHeight } = element;
      return [videoWidth || naturalWidth || 16, videoHeight || naturalHeight || 9];
    };
    element.addEventListener(element instanceof HTMLVideoElement ? 'loadedmetadata' : 'load', () => {
      view.begin(null, size());
      resolve();
    });
    element.addEventListener('error', () => reject(new Error('the browser cannot show it')));
    element.src = address;
  });
}

/** A film's base, with sound, by the browser's own player.
 * @param {import('./view.js').View} view
 * @param {string} address */
export function plainVideo(view, address) {
  const video = document.createElement('video');
  video.controls = true;
  video.playsInline = true;
  return shown(video, view, address);
}

/** A still's base.
 * @param {import('./view.js').View} view
 * @param {string} address */
export function plainPicture(view, address) {
  const image = document.createElement('img');
  image.alt = 'Base of the still picture';
  return shown(image, view, address);
}

/** Whether the browser plays AV1 by itself.
 * @param {string} codec
 * @returns {boolean} */
export function playsAv1(codec) {
  return document.createElement('video').canPlayType(`video/mp4; codecs="${codec}"`) !== '';
}
