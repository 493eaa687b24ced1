/**
 * Tells the server of `codec play` that this page is shown: it ends some seconds after the last page has gone. The
 * address of the page names an event stream for that, `?alive=ADDRESS`; without it, as on any other web server, there
 * is nothing to tell.
 */

/**
 * Holds the event stream open until the page goes, for all pages together where that can be: a browser has only six
 * connections to a server.
 * @param {Location} location of the page
 * @returns {SharedWorker|EventSource|null} what holds it, null where the address names none */
export function tellAlive(location) {
  const address = new URLSearchParams(location.search).get('alive');
  if (!address) return null;
  const url = new URL(address, location.href);
  if (url.origin !== location.origin) return null;
  if (typeof SharedWorker === 'undefined') return new EventSource(url);
  return new SharedWorker(new URL('holding.js', import.meta.url), { name: url.href });
}
