/** A worker that all pages of one player share: its name is the event stream that it holds open while there are any. */

new EventSource(self.name);
