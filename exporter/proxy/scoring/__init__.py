"""How good proxies are: predictions held against energy on three grounds, and when they have drifted."""
