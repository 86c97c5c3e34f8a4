"""The regressions, held against brute force and known truths."""
