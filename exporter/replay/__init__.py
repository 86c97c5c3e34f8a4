"""The command `replay`: a recorded session through the whole pipeline again, and what others would have made of it."""
