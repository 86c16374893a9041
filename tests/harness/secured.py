"""Clients of a house's HTTPS: by the site's name, whatever this machine resolves it to, and so bare that they can misbehave.

Why here: what holds behind nginx and what holds without it is asked by the same clients. Never here: expectations.
"""

import json
import socket
import ssl

import h2.config
import h2.connection
import httpx

from .client import KEY, Raw
from .house import NAME


def trust(house):
    context = ssl.create_default_context(cafile=str(house.authority.root))
    context.set_alpn_protocols(["http/1.1"])
    return context


def secured(house, protocols=("http/1.1",), name=NAME):
    """A TLS connection with the name in the handshake."""
    context = ssl.create_default_context(cafile=str(house.authority.root))
    context.set_alpn_protocols(list(protocols))
    plain = socket.create_connection(("127.0.0.1", house.https), timeout=15)
    return context.wrap_socket(plain, server_hostname=name)


class Secured(Raw):
    """`Raw` inside TLS."""

    def __init__(self, house, **options):
        self.socket = secured(house, **options)
        self.received = b""

    def leave(self):
        # Python's own would also stop to decrypt.
        socket.socket.shutdown(self.socket, socket.SHUT_WR)


def ask(house, path, method="GET", version=1, headers=None, source=None, timeout=15, **options):
    """A request by the site's name, whatever this machine resolves it to; `source`: from this address of it."""
    head = {"host": f"{NAME}:{house.https}", **(headers or {})}
    context = trust(house) if version == 1 else context_of(house)
    way = httpx.HTTPTransport(verify=context, http2=version == 2, local_address=source, trust_env=False)
    with httpx.Client(transport=way, timeout=timeout) as client:
        extensions = {"sni_hostname": NAME}
        return client.request(method, f"https://127.0.0.1:{house.https}{path}", headers=head, extensions=extensions, **options)


def context_of(house):
    return ssl.create_default_context(cafile=str(house.authority.root))


def once(answer, name):
    return [value for key, value in answer.headers.multi_items() if key == name]


def h2_opened(house):
    """An HTTP/2 connection by hand, and the line under it."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    line = secured(house, protocols=("h2",))
    connection.initiate_connection()
    line.sendall(connection.data_to_send())
    return connection, line


def h2_request(house, body):
    """A request in HTTP/2 by hand, to leave it in ways that libraries do not."""
    connection, line = h2_opened(house)
    data = json.dumps(body).encode()
    head = [(":method", "POST"), (":path", "/v1/chat/completions"), (":scheme", "https"), (":authority", NAME),
            ("authorization", f"Bearer {KEY}"), ("content-type", "application/json"), ("content-length", str(len(data)))]  # fmt: skip
    connection.send_headers(1, head)
    connection.send_data(1, data, end_stream=True)
    line.sendall(connection.data_to_send())
    return connection, line
