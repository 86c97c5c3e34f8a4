"""[1] Request sources: one server a file, pure text in, events out. How text arrives stands beside them."""
