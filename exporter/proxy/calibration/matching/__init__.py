"""Which calibration a remote server's latencies fit best: from times alone to the hardware behind an API, if to any.

Theory of operation. A calibration says what latencies a model on its GPUs has at each level of concurrency. A client
of a remote server sees times to first token and times per output token, and four things lie between the two:

- *load*: nobody knows how many others the server works for. A hump over the levels, with a centre and a width;
- *network*: a round trip, which delays the first token of every answer and none of the tokens after it;
- *pace*: no two machines are quite alike, nor two versions of an engine: all times may be some six per cent off;
- *noise*: heavy tails (Student's t with four degrees of freedom, its two halves as wide as the calibration's own
  spread), and now and then a time that tells nothing.

What is unknown is laid on a grid (delay x pace x hump) and averaged over, not fitted: a calibration that could
explain anything, given the right load, pays for it by itself (trial.py). The average likelihood of all timings is a
calibration's evidence. Load and network are told apart from hardware by the prompts' lengths: prefill time per prompt
token hardly depends on either. So timings of different prompt lengths say far more than many of one length.

How sure is it? Timings of one hour are no independent witnesses: they share load, route and time of day, and neither
machine is quite the one that was calibrated. So confidence is not the posterior of all timings, which would soon be
1 - 1e-9, but the mean posterior over half of them at a time: halves balanced by the signs of a Hadamard matrix over
stretches of neighbouring timings. Whatever hangs on a few timings or on one quarter of an hour loses confidence by it.
And that the next timings will be like those seen is itself believed no more than by the rule of succession: of a half
of n timings, with 1 / (n + 2) they tell nothing at all.

Being best of what is at hand is not yet fitting (fitting.py). Each calibration is held against *anything*: a server of
which nothing is known beforehand, with any rate, any prefill, any way to it and any spread (anything.py). Anything
explains all timings, and pays for it: of a server that is the calibrated one it makes them less likely. So
what anything explains far better, the calibration does not fit: a server that is too fast for it at any load (load
makes slower, never faster), one that is slower than at any load it was seen under, and one whose rate, prefill and
spread do not go together at any load. Of these only the second may be the calibrated hardware after all, busier than
it ever was; so it is told apart.
"""
