"""What is run on an island to see whether there can be one."""

import socket

from tests.hostile.island import NAME_SERVER, PRIVATE, PUBLIC, PUBLIC_V6


def main() -> None:
    for address in (NAME_SERVER, PUBLIC, PRIVATE[0]):
        with socket.create_server((address, 0)) as server:
            socket.create_connection(server.getsockname(), 5).close()
    with socket.create_server((PUBLIC_V6, 0), family=socket.AF_INET6):
        pass
