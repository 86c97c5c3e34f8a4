"""Energy windows around any code: told to a running exporter, which knows what else ran at the same time.

Needs nothing but the standard library, and nothing of the rest of this package.
"""
