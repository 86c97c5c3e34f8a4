"""What holds for all tests."""

import signal

# Whoever runs us in a script's background lets us ignore Ctrl-C, and so would all that we start and then interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
