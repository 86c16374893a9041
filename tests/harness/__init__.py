"""What the end-to-end tests stand on: processes, the played Ollama, the gateway, raw clients, comparison rules.

Nothing here asserts what the product should do; that is written in the tests.
"""
