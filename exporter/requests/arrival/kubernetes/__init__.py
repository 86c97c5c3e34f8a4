"""Text that arrives over the Kubernetes API: `GET .../pods/POD/log?follow=true&timestamps=true`.

For those who may neither mount the node's logs nor change how the server logs. Theory of operation:

* one task per pod reads the stream into a bounded queue of pieces and stops reading when that is full; all that is
  meant by the bytes is decided in `poll`, which takes from the queue and never waits;
* every line bears the node's stamp. After a break the log is asked for again from a little before the last line that
  was returned. `sinceTime` knows whole seconds only, so lines come twice: what was returned is a beginning of what the
  server sends, and is skipped stamp by stamp, each as often as it was returned (`stamped.py`);
* a half line at a break is forgotten, because it comes again whole;
* before a connection is made anew the queue is emptied, so there is one mark only, of what was returned: it serves to
  go on after a break as well as after a restart;
* up to which instant everything was read is known while the stream is open and has caught up. A backlog has no end
  mark: it is over when a line is younger than the question, or when nothing came for a moment.

No Kubernetes client library is used: each brings generated models of the whole API for the two requests that are made
here, and leaves to its caller what is hard, to go on after a break without losing or doubling lines.
"""
