#!/usr/bin/env python3
"""A device that holds registers and coils, served by pymodbus:  registers_peer.py TABLES

TABLES is JSON: {"at": ["127.0.0.1", 0], "unit": 7, "holding": {"10": [1, 2]}, "input": {...}, "coil": [true, ...]}.
Prints `port N` once it answers.
"""
import asyncio
import json
import socket
import sys
import threading

from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def main():
    tables = json.loads(sys.argv[1])
    host, port = tables.get("at", ["127.0.0.1", 0])
    with socket.socket() as free:
        free.bind((host, port))
        port = free.getsockname()[1]

    def words(name):
        blocks = [SimData(int(at), values=list(held), datatype=DataType.REGISTERS)
                  for at, held in tables.get(name, {}).items()]
        return blocks or [SimData(0, values=[0], datatype=DataType.REGISTERS)]

    def bits(name):
        return [SimData(0, values=tables.get(name, [False]), datatype=DataType.BITS)]

    device = SimDevice(tables["unit"], (bits("coil"), bits("discrete"), words("holding"), words("input")))

    def once_it_answers():
        while True:
            try:
                socket.create_connection((host, port), 1).close()
                break
            except OSError:
                pass
        print("port", port, flush=True)

    threading.Thread(target=once_it_answers, daemon=True).start()
    await StartAsyncTcpServer(context=[device], address=(host, port))


asyncio.run(main())
