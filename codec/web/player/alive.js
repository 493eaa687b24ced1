/**
 * Tells the server of `codec play` that this page is shown: it ends some seconds after the last page has gone. The
 * address of the page names an event stream for that, `?alive=ADDRESS`; without it, as on any other web server, there
 * is nothing to tell.
 */

/**
 * Holds the event stream open until the page goes.
 * @param {Location} location of the page
 * @returns {EventSource|null} the stream, null where the address names none
 */
export function tellAlive(location) {
  const address = new URLSearchParams(location.search).get("alive");
  if (!address) return null;
  const url = new URL(address, location.href);
  return url.origin === location.origin ? new EventSource(url) : null;
}
