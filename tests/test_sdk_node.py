"""The official Node SDK: runs `node/sdk.test.mjs` against a gateway and a played Ollama of its own."""

from harness.client import KEY
from harness.site import node


def test_node_sdk(start, play):
    gateway = start.gateway(play)
    control = play.control_url.rstrip("/")
    node("sdk.test.mjs", 80, GATEWAY_URL=gateway.url, GATEWAY_KEY=KEY, PLAY_CONTROL=control)
