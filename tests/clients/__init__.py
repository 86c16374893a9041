"""Real clients against the gateway: which ones (clients.toml), how they are installed, what the upstream plays, what must come out.

The scripts in `python/` and `node/` run inside the clients' own environments and know nothing of this package.
"""
