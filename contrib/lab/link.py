"""
link.py - the cable between one node and etcd: forwards bytes from one TCP port to another.

When it is killed, the node is refused at once; when it is stopped (SIGSTOP), the node hears nothing any more. So a node
loses etcd and nothing else, without a packet filter. Runs alone: `python3 link.py HOST PORT TO_HOST TO_PORT`.
"""

import asyncio
import sys


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


async def main(host: str, port: int, to_host: str, to_port: int) -> None:
    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(to_host, to_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(on_client, host, port)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
